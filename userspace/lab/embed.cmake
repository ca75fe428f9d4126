# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# cmake -DOUT=FILE -DSCHEMA=FILE -DMODELS=DIR -P embed.cmake: writes models.cpp with these texts in it.
file(GLOB models ${MODELS}/*.yaml)
file(READ ${SCHEMA} schema)
set(text "#include \"lab/models.h\"\n\nnamespace underpass::lab {\n\n")
string(APPEND text "const std::map<std::string_view, std::string_view>& models() {\n")
string(APPEND text "    static const std::map<std::string_view, std::string_view> all = {\n")
foreach(model ${models})
  file(READ ${model} content)
  get_filename_component(name ${model} NAME_WE)
  string(APPEND text "{\"${name}\", R\"~~~(${content})~~~\"},\n")
endforeach()
string(APPEND text "    };\n    return all;\n}\n\nstd::string_view schema() {\n    return R\"~~~(${schema})~~~\";\n}\n\n}\n")
file(WRITE ${OUT} "${text}")
