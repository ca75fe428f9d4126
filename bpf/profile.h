/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs that end early, behind a stage that is told when they are loaded, so that what each stage takes can be
 * measured. A build of its own (WITH_PROFILE): in all others nothing of this is left. */
#ifndef UNDERPASS_BPF_PROFILE_H
#define UNDERPASS_BPF_PROFILE_H

#include <bpf/bpf_helpers.h>

#include "bpf/packet.h"
#include "maps/stage.h"

#ifdef WITH_PROFILE

/* enum stage, alone in its section. The verifier knows it, and takes out what is behind it. */
const volatile __u32 profile_stop SEC(PROFILE_SECTION) = STAGE_COUNT;

static __always_inline bool profile_ends_behind(enum stage stage)
{
	return profile_stop == stage;
}

static __always_inline bool profile_has_ended(enum verdict verdict)
{
	return verdict == STOPPED;
}

#else

static __always_inline bool profile_ends_behind(enum stage stage)
{
	return false;
}

static __always_inline bool profile_has_ended(enum verdict verdict)
{
	return false;
}

#endif

/* What the stage says, unless it was to be the last. */
static __always_inline enum verdict after(enum stage stage, enum verdict verdict)
{
	return verdict == CONTINUE && profile_ends_behind(stage) ? STOPPED : verdict;
}

#endif
