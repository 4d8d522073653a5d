/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Goroutines. A thread of a Go program says little about which request it works for: a goroutine
 * moves between threads, and one thread serves many. So the records of Go programs name goroutines.
 * Which one is running stands where Go keeps it, in the storage of the thread; its number and that
 * of the goroutine that started it are members of it. The agent says where, for each process.
 * docs/adr/0012 */
#ifndef WEFT_LIB_GO_H
#define WEFT_LIB_GO_H

#include "lib/maps.h"

/* What is where in a Go program. As one number it is the cookie of the probes in its file. */
struct go_process {
	__s32 running_offset; /* of the pointer to the running goroutine, from the thread's base */
	__u16 id_offset;      /* in a goroutine; 0: not known */
	__u16 parent_offset;  /* the same for the id of the one that started it */
};

/* Every Go process, by its id. The agent writes, a probe where a program starts does it sooner; an
 * entry goes when its process ends or becomes another program. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct go_process);
} go_processes SEC(".maps");

/* How often a process was entered there. What is known of a process that is not in it holds until
 * this changes. The agent counts, and the probe where a program starts. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} go_births SEC(".maps");

static __always_inline __u32 *go__births(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&go_births, &zero);
}

struct goroutine_key {
	__u32 tgid;
	__u32 id;
};

/* For whom a goroutine works: the one that has read the request, itself perhaps. Programs write;
 * goroutines end unseen, so the least recently used makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct goroutine_key);
	__type(value, __u32);
} goroutines SEC(".maps");

static __always_inline struct go_process *go__process(__u32 tgid)
{
	return bpf_map_lookup_elem(&go_processes, &tgid);
}

/* Address of the goroutine that runs on this thread, or 0. */
static __always_inline __u64 go__running(const struct go_process *p)
{
	__u64 g = 0;

#ifdef __TARGET_ARCH_x86
	__u64 base = FIELD(current_task(), thread.fsbase);

	if (bpf_probe_read_user(&g, sizeof(g), (const void *)(base + (__s64)p->running_offset)))
		return 0;
#endif
	return g;
}

/* Numbers are never used again but for their upper half, which is left out. */
static __always_inline __u32 go__number(__u64 g, __u16 offset)
{
	__u64 number = 0;

	if (!g || !offset ||
	    bpf_probe_read_user(&number, sizeof(number), (const void *)(g + offset)))
		return 0;
	return number;
}

static __always_inline void go__works_for(__u32 tgid, __u32 id, __u32 whom)
{
	struct goroutine_key key = {.tgid = tgid, .id = id};
	__u32 *known = bpf_map_lookup_elem(&goroutines, &key);

	if (!known)
		bpf_map_update_elem(&goroutines, &key, &whom, BPF_ANY);
	else if (*known != whom)
		*known = whom;
}

/* For whom goroutine `g` works: what is known of it, or of the one that started it; else itself. 0
 * when its number cannot be told. */
static __always_inline __u32 go__whom(__u32 tgid, const struct go_process *p, __u64 g, bool reads)
{
	struct goroutine_key key = {.tgid = tgid, .id = go__number(g, p->id_offset)};
	__u32 id = key.id;
	__u32 *whom;

	if (!id)
		return 0;
	whom = bpf_map_lookup_elem(&goroutines, &key);
	if (whom)
		return *whom;
	key.id = go__number(g, p->parent_offset);
	whom = key.id ? bpf_map_lookup_elem(&goroutines, &key) : NULL;
	if (whom)
		return *whom;
	if (reads)
		go__works_for(tgid, id, id);
	return id;
}

/* The goroutine that a record of this thread should name, or 0. `reads`: it has read what others
 * ask of this process. A function of its own, and not a static one: so the verifier looks at it
 * once. */
SHARED int go__identity(__u32 tgid, __u32 reads)
{
	struct go_process *p = go__process(tgid);

	return p ? go__whom(tgid, p, go__running(p), reads) : 0;
}

/* The same for a call on a socket, which remembers that its caller is no Go program: a look into a
 * hash costs as much as a clock. */
static __always_inline __u32 go__caller(struct socket_state *s, __u32 tgid, __u32 reads)
{
	__u32 *births = go__births();
	__u32 since = births ? *(volatile __u32 *)births : 0;

	if (likely(s->plain_tgid == tgid && s->plain_since == since))
		return 0;
	if (go__process(tgid))
		return go__identity(tgid, reads);
	s->plain_since = since;
	s->plain_tgid = tgid;
	return 0;
}

#endif /* WEFT_LIB_GO_H */
