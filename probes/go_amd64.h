/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers and stacks of Go 1.17 and later on amd64: g is in R14, RBP begins the chain of frame pointers. */
#ifndef MAPPROBE_GO_AMD64_H
#define MAPPROBE_GO_AMD64_H

/* bpf_probe_read_user under another name: bcc looks its own name up in all of kallsyms at each use (0.1 s each). */
static long (*read_user)(void *dst, u32 size, const void *src) = (void *)BPF_FUNC_probe_read_user;

struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* The part of a g that is read: from the bounds of its stack, at offset 0, to its number. */
struct go_g {
    u64 stack_low;
    u64 stack_high;
    u64 between[GOID_OFFSET / 8 - 2];
    u64 goid;
};

/* Words of a stack that are read at once. Reading 14 words costs as much as reading four, and a second read costs
 * 60 ns. Half of the frames of callers of map functions, and three quarters of all frames, are short enough that the
 * next frame is among these words (counted in five servers). */
#define STRETCH 14
#define FRAME_WORDS 4
#define PAGE_BYTES 4096

/* The words of a stack that were read last. */
union reading {
    struct { /* the words from [RBP] on, in a function that has set up its frame */
        u64 caller_bp;
        u64 return_pc;
        u64 home[2]; /* spill slots of the first two argument words: the caller's memory, filled by the callee */
    };
    u64 stretch[STRETCH];
};

/* How the walk up the stack begins, and where it can go on without another read. */
struct go_caller {
    u64 bp;
    u64 pc;
    u64 frame;   /* where the caller's frame begins */
    u64 from;    /* address of the first word in `stretch` */
    int is_long; /* all STRETCH words were read */
};

/* Read a stretch of a stack. If the stretch reaches into the next page, which may not exist, read only `words`. */
static __always_inline long read_stretch(union reading *at, u64 addr, u32 words, struct go_caller *caller)
{
    caller->from = addr;
    caller->is_long = (addr & (PAGE_BYTES - 1)) <= PAGE_BYTES - 8 * STRETCH;
    return read_user(at, 8 * (caller->is_long ? STRETCH : words), (void *)addr);
}

/* At a point after the prologue: the frame is at RBP. */
static __always_inline long frame_at_bp(struct pt_regs *ctx, union reading *at, struct go_caller *caller)
{
    long fault = read_stretch(at, ctx->bp, FRAME_WORDS, caller);
    caller->bp = at->caller_bp;
    caller->pc = at->return_pc;
    caller->frame = ctx->bp + 16;
    return fault;
}

/* At the `push rbp` after the stack check: RBP is still the caller's, and the return address is on top of the stack. */
static __always_inline long frame_at_entry(struct pt_regs *ctx, union reading *at, struct go_caller *caller)
{
    long fault = read_stretch(at, ctx->sp, 1, caller);
    caller->bp = ctx->bp;
    caller->pc = at->stretch[0];
    caller->frame = ctx->sp + 8;
    return fault;
}

/* Find the two words of a frame, its caller's RBP and the return address, in the stretch that was read last; if they
 * are not in it, read another stretch. A variable index into a BPF program's stack needs Linux 5.12. */
static __always_inline long next_frame(union reading *at, u64 bp, struct go_caller *caller, u64 *next)
{
    u64 offset = bp - caller->from;
    long fault = 0;
    if (!caller->is_long || offset > 8 * (STRETCH - 2) || offset & 7) {
        fault = read_stretch(at, bp, 2, caller);
        offset = 0;
    }
    next[0] = at->stretch[offset / 8];
    next[1] = at->stretch[offset / 8 + 1];
    return fault;
}

/* The word at [RBP + offset]; the first four come with the frame. */
static __always_inline u64 frame_slot(struct pt_regs *ctx, union reading *at, int offset)
{
    u64 word = 0;
    if (offset == 16)
        return at->home[0];
    if (offset == 24)
        return at->home[1];
    read_user(&word, 8, (void *)(ctx->bp + offset));
    return word;
}

/* Return how far an address is below the top of a goroutine's stack; 0 if it isn't on the stack. A stack that grows is
 * copied, aligned to its top, so this distance does not change (runtime/stack.go copystack). */
static __always_inline u32 from_top(struct go_g *g, u64 addr)
{
    return addr >= g->stack_low && addr < g->stack_high ? (u32)(g->stack_high - addr) : 0;
}

/* Read the goroutine's stack bounds and number: one read of all words from the first to the last is cheaper than two.
 * The words can't be kept for the next hit: the runtime gives a g whose goroutine has ended to another goroutine, with
 * another number, and often with the same stack on the same thread (runtime/proc.go gfget). */
static __always_inline long read_g(struct pt_regs *ctx, struct go_g *g)
{
    return read_user(g, sizeof(*g), (void *)ctx->r14);
}

enum { FLOAT32 = 13, FLOAT64, COMPLEX64, COMPLEX128, INTERFACE = 20, KIND_MASK = 31 }; /* reflect.Kind */
#define UNEQUAL_KEY 1 /* UNEQUAL_KEY in vocabulary.py: no type stands at this address */

static __always_inline int is_nan32(u32 bits) { return bits << 1 > 0xFF000000u; }
static __always_inline int is_nan64(u64 bits) { return bits << 1 > 0xFFE0000000000000ull; }

/* True if the number of this kind at `at` is not equal to itself: NaN. */
static __always_inline int is_unequal(u8 kind, u64 at)
{
    u64 words[2] = {};
    if (kind == FLOAT32) {
        read_user(words, 4, (void *)at);
        return is_nan32(words[0]);
    }
    if (kind == COMPLEX128)
        read_user(words, 16, (void *)at);
    else
        read_user(words, 8, (void *)at);
    if (kind == COMPLEX64)
        return is_nan32(words[0]) || is_nan32(words[0] >> 32);
    return is_nan64(words[0]) || is_nan64(words[1]);
}

static __always_inline u8 kind_of(u64 type)
{
    u8 kind = 0;
    read_user(&kind, 1, (void *)(type + 23));
    return kind & KIND_MASK;
}

/* Return the dynamic type word of an interface key; UNEQUAL_KEY if the key, or the number in it, is NaN; 0 for any
 * other key. Nothing else of a key is ever read. If the word is the address of an itab, not of a type, the byte that is
 * read as the kind is padding. */
static __always_inline u64 key_type_of(u64 type, u64 key)
{
    u64 key_type = 0, word[2] = {};
    u8 kind;
    if (read_user(&key_type, 8, (void *)(type + 48)))
        return 0;
    kind = kind_of(key_type);
    if (kind == INTERFACE) {
        read_user(word, 16, (void *)key);
        kind = word[0] ? kind_of(word[0]) : 0;
        key = word[1];
    }
    return kind >= FLOAT32 && kind <= COMPLEX128 && is_unequal(kind, key) ? UNEQUAL_KEY : word[0];
}

#endif
