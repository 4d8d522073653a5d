/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Is this the header of a TLS record? */
#ifndef WEFT_SNIFF_TLS_H
#define WEFT_SNIFF_TLS_H

#include "sniff/http1.h"

static inline __attribute__((always_inline)) int sniff__tls(const unsigned char *bytes,
							    unsigned int have)
{
	if (have >= 1 && (bytes[0] < 0x14 || bytes[0] > 0x17))
		return SNIFF_NO;
	if ((have >= 2 && bytes[1] != 3) || (have >= 3 && bytes[2] > 4))
		return SNIFF_NO;
	if (have >= 4 && bytes[3] > 0x48) /* 2^14 and what encryption may add */
		return SNIFF_NO;
	return have >= 5 ? SNIFF_YES : SNIFF_MORE;
}

#endif /* WEFT_SNIFF_TLS_H */
