/* SPDX-License-Identifier: GPL-2.0-only */
/* One BPF program for each probe point of the target: point_0, point_1, ...
 *
 * POINTS (-D) lists them as
 *   POINT(number, kind, frame, hash, map, type)            functions whose key is no interface
 *   KEYED_POINT(number, kind, frame, hash, map, type, key) functions that take any key: its dynamic type is read
 *   EXIT_POINT(number, kind)                               the process is about to end: stop it for a last read
 *   SPAN_POINT(number, kind, span, use)                    a span is allocated or freed: sent if of a large object
 *   HEAP_POINT(number, kind, word, word, word)             anything else of the heap, with its stack
 *   RETURN_POINT(number, kind, addr, bytes)                memory is returned to the system, in many calls: no stack
 * where frame is frame_at_bp or frame_at_entry, and the words are REG(ax), SLOT(24) or NOTHING, as found in
 * the binary. All points but EXIT_POINT sit on instructions that the kernel emulates: about 0.5 us a hit, against
 * 9.5 us where the kernel must single-step.
 *
 * Other parameters (-D): STACK_DEPTH frames in an event, RING_PAGES, TEXT_START and TEXT_END of the Go code
 * in the process, GOID_OFFSET in struct g, HEAP_RING_PAGES, SPAN_START (start and pages) and SPAN_CLASS in struct
 * mspan, LAYOUT_ASSERTS.
 *
 * A hit costs mostly its reads, each a bpf_probe_read_user: of the stack from RBP on (caller's RBP, return address, two
 * home slots, and with them the next frame if it is near), of the map's header, of g up to its number, and of another
 * stretch of the stack for each further frame that is not in the last stretch. A read of a page that isn't in memory
 * fails: the event is then discarded and counted as a fault.
 *
 * A stack is kept once, in a table that the recorder reads; events carry its digest.
 *
 * bcc rewrites calls on its tables in this file only, not in included ones: so all functions that use a table are here.
 */
#include "events.h"
#include "go_amd64.h"

enum { SENT, RING_FULL, FAULT, STACKS_FULL, OUTCOMES };
enum { CREATE = 4, CLONE = 8 }; /* EventKind in vocabulary.py */
#define HEADER_BYTES (8 * HEADER_WORDS)
#define MOST_STACKS (1 << 20)
#define MIX 0x9E3779B97F4A7C15ull
#define DIGEST_TRIES 4
#define LOG2_RECENT 11

/* The ring of map events; the recorder drains it on a timer, so no record wakes the recorder. */
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
/* Each call stack that was seen, by its digest: events carry the digest, and the recorder looks each stack up once. */
BPF_F_TABLE("hash", u64, struct stack, stacks, MOST_STACKS, BPF_F_NO_PREALLOC);
/* A cache of `stacks`: the high bits of a digest number the row, and the first stack in a row stays there. Finding a
 * stack here takes a quarter of the time that the hash table takes. */
struct recent {
    u64 digest; /* 0: free */
    struct stack stack;
};
BPF_ARRAY(recent_stacks, struct recent, 1 << LOG2_RECENT);
/* A table without any program, for a call that fails: see `lose`. */
BPF_PROG_ARRAY(nowhere, 1);
/* Counts of hits by outcome: row point * OUTCOMES + outcome, a column for each CPU. */
BPF_PERCPU_ARRAY(outcomes, u64, 256 * OUTCOMES);

/* Read a map's header; zeros if there is no map. If the header reaches into a page that the process has never touched,
 * the read of all words fails: then the words are read one by one, and the words of such a page are zero. If a word is
 * zero for another reason, replay finds that the header does not fit. */
static __always_inline long read_header(u64 *header, u64 map)
{
    if (map && !read_user(header, HEADER_BYTES, (void *)map))
        return 0;
    __builtin_memset(header, 0, HEADER_BYTES);
    if (!map)
        return 0;
    for (int word = 1; word < HEADER_WORDS; word++)
        read_user(&header[word], 8, (void *)(map + 8 * word));
    return read_user(header, 8, (void *)map);
}

static __always_inline void count(u32 point, u32 outcome)
{
    u32 row = point * OUTCOMES + outcome;
    u64 *n = outcomes.lookup(&row);
    if (n)
        *n += 1;
}

/* Count a hit that sends nothing.
 *
 * The call finds no program; it is there because a BPF program with such a call runs on the stack of its task. Any
 * other program with 64 bytes of variables runs on a stack of its CPU (Linux 6.13, bpf_enable_priv_stack). If a
 * preemptible kernel switched threads during a hit, the second thread would overwrite there what the first one has
 * read. Reading to the task's own stack is also cheaper, by 10 ns a read if the kernel checks copies
 * (CONFIG_HARDENED_USERCOPY). */
static __always_inline int lose(struct pt_regs *ctx, u32 point, u32 outcome)
{
    count(point, outcome);
    nowhere.call(ctx, 0);
    return 0;
}

/* Return a digest of the frames of a chain of frame pointers, never 0. */
static __always_inline u64 walk(union reading *at, struct go_caller *caller, struct stack *stack)
{
    u64 bp = caller->bp, digest = caller->pc * MIX;
    stack->frames[0] = caller->pc;
#pragma clang loop unroll(disable)
    for (int i = 1; i < STACK_DEPTH; i++) {
        u64 next[2] = {};
        stack->frames[i] = 0;
        if (!bp || next_frame(at, bp, caller, next) || next[1] < TEXT_START || next[1] >= TEXT_END) {
            bp = 0;
        } else {
            stack->frames[i] = next[1];
            bp = next[0];
            digest = (digest ^ digest >> 29 ^ next[1]) * MIX;
        }
    }
    return digest | 1;
}

static __always_inline int is_equal(struct stack *a, struct stack *b)
{
    u64 difference = 0;
#pragma clang loop unroll(disable)
    for (int i = 0; i < STACK_DEPTH; i++)
        difference |= a->frames[i] ^ b->frames[i];
    return !difference;
}

/* Remember a stack that is in `stacks` under its own digest, if there is room.
 *
 * Two CPUs may write one place at once, while a third CPU reads the place and finds words of both stacks. Such a
 * mixture is taken for a third stack only if the third stack has the digest of one of the two and frames of both. */
static __always_inline void remember(struct recent *place, struct stack *stack, u64 digest)
{
    if (place->digest)
        return;
    place->stack = *stack;
    place->digest = digest;
}

/* Return the key of a stack in `stacks`, put there if it is new; 0 if there is no room. */
static __always_inline u64 intern(struct stack *stack, u64 digest)
{
    u64 first = digest;
    u32 row = digest >> (64 - LOG2_RECENT);
    struct recent *place = recent_stacks.lookup(&row);
    if (!place)
        return 0;
    if (place->digest == digest && is_equal(&place->stack, stack))
        return digest;
#pragma clang loop unroll(disable)
    for (int i = 0; i < DIGEST_TRIES; i++) {
        struct stack *seen = stacks.lookup(&digest);
        if (!seen && !stacks.insert(&digest, stack))
            return digest;
        if (!seen) /* there is no room, or another CPU was faster */
            seen = stacks.lookup(&digest);
        if (seen && is_equal(seen, stack)) {
            if (digest == first)
                remember(place, stack, digest);
            return digest;
        }
        digest = digest * MIX | 1; /* another stack has this digest */
    }
    return 0;
}

/* The words of an operation; `send` reads the rest of the event: map header, stack, goroutine. */
struct operation {
    u64 hash;
    u64 map;
    u64 type;
    u64 key_type;
};

/* Fill and send one event. */
static __always_inline int send(struct pt_regs *ctx, u8 kind, u8 point, struct operation *operation, union reading *at,
                                struct go_caller *caller)
{
    union { /* one after the other: the stack of a BPF program has 512 bytes */
        struct stack stack;
        u64 header[HEADER_WORDS];
        struct go_g g;
    } now;
    u64 digest = intern(&now.stack, walk(at, caller, &now.stack));
    if (!digest)
        return lose(ctx, point, STACKS_FULL);
    struct map_event *event = events.ringbuf_reserve(sizeof(*event));
    if (!event)
        return lose(ctx, point, RING_FULL);
    event->time_ns = bpf_ktime_get_ns();
    event->map_addr = operation->map;
    event->type_addr = operation->type;
    event->hash = operation->hash;
    event->key_type = operation->key_type;
    event->stack = digest;
    event->tid = (u32)bpf_get_current_pid_tgid();
    event->kind = kind;
    event->point = point;
    /* A map that is being made has nothing in its header yet, and its memory may never have been touched. */
    long fault = read_header(now.header, kind == CREATE || kind == CLONE ? 0 : operation->map);
    for (int word = 0; word < HEADER_WORDS; word++)
        event->header[word] = now.header[word];
    fault |= read_g(ctx, &now.g);
    event->goid = now.g.goid;
    event->stack_offset = from_top(&now.g, operation->map);
    /* a system stack, whose g has number 0, is no goroutine's stack: its depth says nothing of a goroutine's frames */
    event->depth = now.g.goid ? from_top(&now.g, caller->frame) : 0;
    if (fault) {
        events.ringbuf_discard(event, BPF_RB_NO_WAKEUP);
        return lose(ctx, point, FAULT);
    }
    events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    count(point, SENT);
    return 0;
}

#define REG(name) (ctx->name)
#define SLOT(offset) frame_slot(ctx, &at, offset)
#define NOTHING 0

#define POINT(number, kind, frame_of, hash, map, type)                                                                 \
    int point_##number(struct pt_regs *ctx)                                                                            \
    {                                                                                                                  \
        union reading at;                                                                                              \
        struct go_caller caller;                                                                                       \
        if (frame_of(ctx, &at, &caller))                                                                               \
            return lose(ctx, number, FAULT);                                                                           \
        struct operation operation = {hash, map, type, 0};                                                             \
        return send(ctx, kind, number, &operation, &at, &caller);                                                      \
    }

#define KEYED_POINT(number, kind, frame_of, hash, map, type, key)                                                      \
    int point_##number(struct pt_regs *ctx)                                                                            \
    {                                                                                                                  \
        union reading at;                                                                                              \
        struct go_caller caller;                                                                                       \
        if (frame_of(ctx, &at, &caller))                                                                               \
            return lose(ctx, number, FAULT);                                                                           \
        u64 type_addr = type;                                                                                          \
        struct operation operation = {hash, map, type_addr, key_type_of(type_addr, key)};                              \
        return send(ctx, kind, number, &operation, &at, &caller);                                                      \
    }

/* Words of `session`: time of the recorder's last sign of life, whether the process was stopped at its end, and whether
 * the program `tried` ran. */
enum { HEARTBEAT_NS, STOPPED, TRIED, SESSION_WORDS };
BPF_ARRAY(session, u64, SESSION_WORDS);

#define HOLD_NS 10000000000ull /* a recorder that is silent for longer hangs, and would not wake a stopped process */
#define SIGSTOP 19

static __always_inline int hold(u8 point)
{
    u32 word = HEARTBEAT_NS;
    u64 *heartbeat = session.lookup(&word);
    if (!heartbeat || bpf_ktime_get_ns() - *heartbeat >= HOLD_NS)
        return 0;
    word = STOPPED;
    u64 *stopped = session.lookup(&word);
    if (stopped && !bpf_send_signal(SIGSTOP))
        *stopped = 1;
    count(point, SENT);
    return 0;
}

#define EXIT_POINT(number, kind)                                                                                       \
    int point_##number(struct pt_regs *ctx)                                                                            \
    {                                                                                                                  \
        return hold(number);                                                                                           \
    }

/* The ring of heap events: there are few of them, and in a separate ring a rush of map events can't crowd them out. */
BPF_RINGBUF_OUTPUT(heap_events, HEAP_RING_PAGES);

static __always_inline int send_heap(struct pt_regs *ctx, u8 kind, u8 point, u64 first, u64 second, u64 third,
                                     u64 digest)
{
    struct heap_event *event = heap_events.ringbuf_reserve(sizeof(*event));
    if (!event)
        return lose(ctx, point, RING_FULL);
    event->time_ns = bpf_ktime_get_ns();
    event->words[0] = first;
    event->words[1] = second;
    event->words[2] = third;
    event->stack = digest;
    event->tid = (u32)bpf_get_current_pid_tgid();
    event->kind = kind;
    event->point = point;
    if (read_user(&event->goid, 8, (void *)(ctx->r14 + GOID_OFFSET))) {
        heap_events.ringbuf_discard(event, BPF_RB_NO_WAKEUP);
        return lose(ctx, point, FAULT);
    }
    heap_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    count(point, SENT);
    return 0;
}

/* Return the key of the stack of the probed function's caller; 0 if the stack can't be read, or kept. */
static __always_inline u64 stack_of(struct pt_regs *ctx)
{
    union reading at;
    struct go_caller caller;
    struct stack stack;
    if (frame_at_bp(ctx, &at, &caller))
        return 0;
    return intern(&stack, walk(&at, &caller, &stack));
}

enum { SPAN_ALLOCATED = 16 }; /* HeapKind in vocabulary.py */
#define GO_PAGE_SHIFT 13      /* runtime/sizeclasses.go pageShift */

/* Send a span if it is of a large object: `use` is 0 for spans of objects, and the bits of the span class, without the
 * lowest one, are 0 for spans of large objects only. */
static __always_inline int send_span(struct pt_regs *ctx, u8 kind, u8 point, u64 span, u8 use)
{
    u64 place[2];
    u8 span_class;
    if (use)
        return 0;
    if (read_user(&span_class, 1, (void *)(span + SPAN_CLASS)))
        return lose(ctx, point, FAULT);
    if (span_class >> 1)
        return 0;
    if (read_user(place, sizeof(place), (void *)(span + SPAN_START)))
        return lose(ctx, point, FAULT);
    return send_heap(ctx, kind, point, place[0], place[1] << GO_PAGE_SHIFT, span_class,
                     kind == SPAN_ALLOCATED ? stack_of(ctx) : 0);
}

#define HEAP_REG(name) (ctx->name)
#define HEAP_SLOT(offset) heap_slot(ctx, offset)

static __always_inline u64 heap_slot(struct pt_regs *ctx, int offset)
{
    u64 word = 0;
    read_user(&word, 8, (void *)(ctx->bp + offset));
    return word;
}

#define SPAN_POINT(number, kind, span, use)                                                                            \
    int point_##number(struct pt_regs *ctx)                                                                            \
    {                                                                                                                  \
        return send_span(ctx, kind, number, span, use);                                                                \
    }

#define HEAP_POINT(number, kind, first, second, third)                                                                 \
    int point_##number(struct pt_regs *ctx)                                                                            \
    {                                                                                                                  \
        return send_heap(ctx, kind, number, first, second, third, stack_of(ctx));                                      \
    }

#define RETURN_POINT(number, kind, addr, bytes)                                                                        \
    int point_##number(struct pt_regs *ctx)                                                                            \
    {                                                                                                                  \
        return send_heap(ctx, kind, number, addr, bytes, 0, 0);                                                        \
    }

POINTS

/* An empty program, for measuring the cost of a hit without the work of a program. */
int nothing(struct pt_regs *ctx)
{
    return 0;
}

/* A program that notes that it ran, for a test whether hits arrive on this kernel. */
int tried(struct pt_regs *ctx)
{
    u32 word = TRIED;
    u64 *hit = session.lookup(&word);
    if (hit)
        *hit = 1;
    return 0;
}
