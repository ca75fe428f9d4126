# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What a whole test run amounts to: reads ctest's junit files, prints each failed test by name and each skipped one
# with its reason, and last, alone on its line, "N passed, N failed, N skipped". Exit status 1 if a test failed or if
# none was run.
#
# A ctest test may stand for many (a machine is booted once for all of them): it then prints a line for each,
#   result: PASS|FAIL|SKIP NAME[: REASON]
# and these are counted in its place. If such a test fails and none of its lines says FAIL, or if the lines are
# fewer than it announced ("result: PLAN N"), that is a failure too.

function unescape(text) {
    gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "'", text)
    gsub(/&#13;|\r/, "", text)
    gsub(/&amp;/, "\\&", text)
    return text
}

function attribute(line, name,    start) {
    start = index(line, " " name "=\"")
    if (!start) return ""
    line = substr(line, start + length(name) + 3)
    return unescape(substr(line, 1, index(line, "\"") - 1))
}

function pass() { passed++ }
function fail(name, reason) { failed++; failures = failures "  " name (reason == "" ? "" : ": " reason) "\n" }
function skip(name, reason) {
    skipped++
    if (reason == "") fail(name, "skipped without a reason")
    skips = skips "  " name ": " reason "\n"
}

# A line of the form "result: WORD NAME[: REASON]".
function result(line,    word, reason, colon) {
    sub(/^.*result: /, "", line)
    word = substr(line, 1, 4)
    line = substr(line, 6)
    if (word == "PLAN") { planned += line; return }
    colon = index(line, ": ")
    reason = colon ? substr(line, colon + 2) : ""
    if (colon) line = substr(line, 1, colon - 1)
    told++
    line = name " " line
    if (word == "PASS") pass()
    else if (word == "SKIP") skip(line, reason)
    else { told_failed++; fail(line, reason) }
}

/<testcase / {
    name = attribute($0, "name"); status = attribute($0, "status")
    told = told_failed = planned = 0; message = reason = ""; in_reason = 0
    next
}
/<skipped message=/ { message = attribute($0, "message") }
{ sub(/^[ \t]*<system-out>/, "") }
/result: (PASS|FAIL|SKIP|PLAN) / { result(unescape($0)) }
# GoogleTest tells the reason on the lines between these two.
/: (Failure|Skipped)$/ { in_reason = 1; next }
/^\[  SKIPPED \]|^\[  FAILED  \]|^\[       OK \]/ { in_reason = 0 }
in_reason && $0 != "" && length(reason) < 500 { reason = reason (reason == "" ? "" : " ") unescape($0) }
/<\/testcase>/ {
    if (told || planned) {
        if (told < planned) fail(name, "only " told " of " planned " results were told: it ended early")
        else if (status == "fail" && !told_failed) fail(name, "ended with a failure after its last result")
    }
    else if (status == "run") pass()
    else if (status == "notrun" && message ~ /^SKIP_/) skip(name, reason)
    else if (status == "disabled") skip(name, "disabled in the source")
    else fail(name, reason == "" ? message : reason)
}
END {
    if (skips != "") printf "\nSkipped:\n%s", skips
    if (failures != "") printf "\nFailed:\n%s", failures
    if (!(passed + failed)) printf "\nNo test was run.\n"
    printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed || !passed
}
