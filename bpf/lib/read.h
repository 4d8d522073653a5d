/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reading the memory that a call sends from or receives into. */
#ifndef WEFT_LIB_READ_H
#define WEFT_LIB_READ_H

#include "lib/where.h"

/* The array of iovecs of a struct user_msghdr. */
static __always_inline int read__msghdr(__u64 address, struct user_iovec *array)
{
	/* msg_iov and msg_iovlen lie side by side behind msg_name and msg_namelen. */
	return bpf_probe_read_user(array, sizeof(*array), (const void *)(address + 16));
}

/* Takes the pieces from `first` on to hand; false when there is none, or it cannot be read. */
static __always_inline bool read__pieces(struct user_buffer *buffer, __u32 first)
{
	__u32 left = buffer->iovec_count - first, size = sizeof(buffer->iovecs);
	const void *from = (const void *)(buffer->base + first * sizeof(struct user_iovec));

	if (first >= buffer->iovec_count)
		return false;
	buffer->first = first;
	if (left < IOVECS)
		size = BOUND(left, IOVECS) * sizeof(struct user_iovec);
#ifdef WEFT_STATE_HASH
	if (buffer->in_kernel)
		return !bpf_probe_read_kernel(buffer->iovecs, size, from);
#endif
	return !bpf_probe_read_user(buffer->iovecs, size, from);
}

/* Makes `buffer` ready, for a call that moved `moved` bytes. Where that fails its kind is NONE. */
static __always_inline bool read__fetch(struct direction_state *d, __u32 direction, __u32 moved,
					struct user_buffer *buffer)
{
	struct user_iovec array = {.base = buffer->base, .length = buffer->length};
	__u32 kind = buffer->kind;

	if (kind == BUFFER_FLAT || kind == BUFFER_NONE)
		return kind == BUFFER_FLAT;
	buffer->kind = BUFFER_NONE;
	if ((kind == BUFFER_MSG || kind == BUFFER_MMSG) && read__msghdr(buffer->base, &array))
		return false;
	__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
	buffer->iovec_count = BOUND(array.length, PIECES_OF_A_CALL);
	buffer->base = array.base;
	buffer->length = 0;
	buffer->in_kernel = kind == BUFFER_KERNEL_IOVECS;
	if (!read__pieces(buffer, 0)) {
		buffer->iovec_count = 0;
		return false;
	}
	buffer->kind = BUFFER_FLAT;
#ifndef WEFT_STATE_HASH
	if (kind == BUFFER_MMSG && direction == WEFT_SEND)
		read__check_short_send(d, moved, buffer);
#endif
	if (buffer->iovec_count == 1 || buffer->iovecs[0].length >= moved) {
		buffer->base = buffer->iovecs[0].base;
		buffer->length = buffer->iovecs[0].length;
		buffer->iovec_count = 0;
	}
	return true;
}

/* Gives a buffer of one piece defined bytes where its others would be: older verifiers want them
 * before they let it go to a function. */
static __always_inline void read__fill(struct user_buffer *buffer)
{
	if (buffer->iovec_count)
		return;
	buffer->first = 0;
	buffer->in_kernel = 0;
	__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
}

/* Up to `want` bytes of a piece, from `skip` on, to `to`; returns how many, 0 when they cannot be
 * read. */
static __always_inline __u64 read__piece(__u8 *to, __u64 base, __u64 length, __u64 skip, __u64 want)
{
	__u64 n = length - skip;

	if (n > want)
		n = want;
	n = BOUND(n, WEFT_CAPTURE_MAX);
	return bpf_probe_read_user(to, n, (const void *)(base + skip)) ? 0 : n;
}

/* Copies up to `want` bytes, from `skip` on, into the scratch, behind the `before` bytes (at most
 * 8) that it holds already; returns how many: fewer where more pieces than one read may cover are
 * in the way. The next read does best to go on behind this one. A function of its own, and not a
 * static one: so the verifier looks at its loop once. */
SHARED int read__copy(struct user_buffer *buffer, struct gather_scratch *to, __u32 skip, __u32 want,
		      __u32 before)
{
	volatile struct copy_state *c;
	__u64 length, n;
	__u32 i, place;

	if (!to || !buffer || buffer->kind != BUFFER_FLAT)
		return 0;
	before = BOUND(before, 8);
	if (!buffer->iovec_count)
		return buffer->length <= skip ? 0
					      : read__piece(to->bytes + before, buffer->base,
							    buffer->length, skip, want);
	if (skip < buffer->length) {
		buffer->length = 0;
		if (!read__pieces(buffer, 0))
			return 0;
	}
	c = &to->copy;
	c->copied = 0;
	c->gone = 0;
	c->passed = skip - buffer->length;
	for (i = 0; i < PIECES_OF_A_READ; i++) {
		place = i % IOVECS;
		length = buffer->iovecs[place].length;
		c->gone += length;
		if (length > c->passed) {
			n = read__piece(to->bytes + before + BOUND(c->copied, WEFT_CAPTURE_MAX),
					buffer->iovecs[place].base, length, c->passed,
					want - c->copied);
			c->copied += n;
			if (n == 0 || c->copied >= want)
				break;
			c->passed = length;
		}
		c->passed -= length;
		if (buffer->first + place + 1 >= buffer->iovec_count)
			break;
		if (place < IOVECS - 1)
			continue;
		buffer->length += c->gone;
		c->gone = 0;
		if (!read__pieces(buffer, buffer->first + IOVECS)) {
			buffer->kind = BUFFER_NONE;
			break;
		}
	}
	return c->copied;
}

#ifdef WEFT_STATE_HASH
__noinline int read__copy_apart(__u32 skip, __u32 want, __u32 before)
{
	struct work *w = work__get();

	return w ? read__copy(&w->buffer, work__scratch(), skip, want, before) : 0;
}
#define read__copy(buffer, to, skip, want, before) read__copy_apart(skip, want, before)
#endif

#endif /* WEFT_LIB_READ_H */
