// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The same with state in hashes, see lib/flavour.h. */
#define WEFT_STATE_HASH
#include "probes/sock_io_fentry.bpf.c"
