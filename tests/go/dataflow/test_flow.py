from __future__ import annotations

import pytest
from iced_x86 import Decoder, Formatter, FormatterSyntax, Instruction, Register

from mapprobe.go.dataflow.flow import Flow
from mapprobe.go.dataflow.values import HASH, Argument, Constant, Load, OrZero, StackAddress, State, Value
from mapprobe.go.points.hash_point import devirtualised_joins, hasher_code

ENTRY = 0x1000
FORMATTER = Formatter(FormatterSyntax.INTEL)
FORMATTER.hex_prefix, FORMATTER.hex_suffix, FORMATTER.uppercase_hex = "0x", "", False
FORMATTER.branch_leading_zeros = FORMATTER.show_branch_size = False
FORMATTER.space_after_operand_separator = True

FRAME = ("55 | push rbp", "48 89 e5 | mov rbp, rsp", "48 83 ec 20 | sub rsp, 0x20")
LAST_FALLBACK_PRODUCT = ("49 b8 4b 12 7d c4 27 4e 8e 1d | mov r8, 0x1d8e4e27c47d124b", "49 f7 e0 | mul r8")


def nothing(_flow: Flow, _call: Instruction, _state: State) -> Value | None:
    return None


def hasher(_flow: Flow, _call: Instruction, _state: State) -> Value | None:
    return HASH


def flow_of(*lines: str, on_call=nothing, pinned=None) -> Flow:
    """Run the flow over lines of `bytes | what they mean`; the meaning is held to what is decoded."""
    raw = b"".join(bytes.fromhex(line.split("|")[0]) for line in lines)
    for line, instruction in zip(lines, Decoder(64, raw, ip=ENTRY), strict=True):
        assert FORMATTER.format(instruction) == line.split("| ")[1]
    return Flow(raw, ENTRY, on_call, pinned)


def last(flow: Flow) -> int:
    return max(flow.instructions)


def held(flow: Flow, register: Register) -> Value | None:
    """Return what a register holds before the last instruction."""
    return flow.before[last(flow)].get(register)


def test_arguments_arrive_in_the_order_of_gos_abi() -> None:
    flow = flow_of("c3 | ret")

    names = ("RAX", "RBX", "RCX", "RDI", "RSI", "R8", "R9", "R10", "R11")
    assert [held(flow, getattr(Register, name)) for name in names] == [Argument(n) for n in range(9)]


def test_frame_is_known_once_rbp_points_at_it() -> None:
    flow = flow_of(*FRAME, "c3 | ret")

    assert [flow.has_frame(addr) for addr in sorted(flow.before)] == [False, False, True, True]


def test_spilled_argument_survives_a_call_in_its_slot_only() -> None:
    flow = flow_of(*FRAME, "48 89 5d 18 | mov [rbp+0x18], rbx", "ff d1 | call rcx", "c3 | ret")

    assert flow.places_of(last(flow), Argument(1)) == [StackAddress(16)]


def test_spilled_argument_is_known_when_it_is_loaded_again() -> None:
    flow = flow_of(
        *FRAME, "48 89 5d 18 | mov [rbp+0x18], rbx", "ff d1 | call rcx", "48 8b 55 18 | mov rdx, [rbp+0x18]", "c3 | ret"
    )

    assert held(flow, Register.RDX) == Argument(1)


def test_overwritten_slot_is_forgotten() -> None:
    flow = flow_of(
        *FRAME, "48 89 5d f8 | mov [rbp-8], rbx", "48 c7 45 f8 05 00 00 00 | mov qword ptr [rbp-8], 5",
        "48 8b 55 f8 | mov rdx, [rbp-8]", "c3 | ret",
    )  # fmt: skip

    assert held(flow, Register.RDX) is None


def test_slot_overwritten_in_part_is_forgotten() -> None:
    flow = flow_of(
        *FRAME, "48 89 5d f8 | mov [rbp-8], rbx", "c6 45 ff 00 | mov byte ptr [rbp-1], 0",
        "48 8b 55 f8 | mov rdx, [rbp-8]", "c3 | ret",
    )  # fmt: skip

    assert held(flow, Register.RDX) is None


def test_a_store_next_to_a_slot_does_not_change_the_slot() -> None:
    flow = flow_of(*FRAME, "48 89 5d f0 | mov [rbp-0x10], rbx", "48 ff 45 e8 | inc qword ptr [rbp-0x18]",
                   "48 8b 55 f0 | mov rdx, [rbp-0x10]", "c3 | ret")  # fmt: skip

    assert held(flow, Register.RDX) == Argument(1)


def test_slots_below_rsp_are_the_callees() -> None:
    flow = flow_of(*FRAME, "48 89 5c 24 f8 | mov [rsp-8], rbx", "ff d1 | call rcx", "48 8b 54 24 f8 | mov rdx, [rsp-8]",
                   "c3 | ret")  # fmt: skip

    assert held(flow, Register.RDX) is None


def test_call_keeps_the_frame() -> None:
    flow = flow_of(*FRAME, "ff d1 | call rcx", "c3 | ret")

    assert flow.has_frame(last(flow))


def test_pop_gives_back_what_was_pushed() -> None:
    flow = flow_of("53 | push rbx", "5a | pop rdx", "c3 | ret")

    assert held(flow, Register.RDX) == Argument(1)
    assert held(flow, Register.RSP) == StackAddress(0)


def test_load_of_a_load_is_known_by_its_offsets() -> None:
    flow = flow_of("48 8b 50 48 | mov rdx, [rax+0x48]", "48 8b 12 | mov rdx, [rdx]", "c3 | ret")

    assert held(flow, Register.RDX) == Load(Load(Argument(0), 0x48), 0)


def test_a_load_of_four_bytes_is_distinguished_from_one_of_eight() -> None:
    flow = flow_of("8b 53 0c | mov edx, [rbx+0xc]", "c3 | ret")

    assert held(flow, Register.RDX) == Load(Argument(1), 0xC, 4)


def test_load_of_one_byte_is_not_known() -> None:
    flow = flow_of("0f b6 53 08 | movzx edx, byte ptr [rbx+8]", "c3 | ret")

    assert held(flow, Register.RDX) is None


@pytest.mark.parametrize("line", ["48 ff c3 | inc rbx", "31 cb | xor ebx, ecx", "89 cb | mov ebx, ecx"])
def test_written_register_is_forgotten(line: str) -> None:
    assert held(flow_of(line, "c3 | ret"), Register.RBX) is None


def test_register_xored_with_itself_is_zero() -> None:
    assert held(flow_of("31 db | xor ebx, ebx", "c3 | ret"), Register.RBX) == Constant(0)


def test_exchange_swaps_what_is_known() -> None:
    flow = flow_of("48 87 d9 | xchg rcx, rbx", "c3 | ret")

    assert (held(flow, Register.RBX), held(flow, Register.RCX)) == (Argument(2), Argument(1))


def test_join_keeps_what_both_paths_agree_on() -> None:
    flow = flow_of("74 03 | je 0x1005", "48 89 d9 | mov rcx, rbx", "c3 | ret")

    assert held(flow, Register.RBX) == Argument(1)
    assert held(flow, Register.RCX) is None


def test_argument_that_one_path_sets_to_zero_is_known_as_such() -> None:
    flow = flow_of("70 02 | jo 0x1004", "31 db | xor ebx, ebx", "c3 | ret")

    assert held(flow, Register.RBX) == OrZero(Argument(1))


def test_argument_that_one_path_sets_to_another_number_is_not_known() -> None:
    flow = flow_of("70 05 | jo 0x1007", "bb 01 00 00 00 | mov ebx, 1", "c3 | ret")

    assert held(flow, Register.RBX) is None


def test_argument_that_a_conditional_move_sets_to_zero_is_known_as_such() -> None:
    flow = flow_of("ba 00 00 00 00 | mov edx, 0", "48 0f 4c da | cmovl rbx, rdx", "c3 | ret")

    assert held(flow, Register.RBX) == OrZero(Argument(1))


def test_conditional_move_between_different_values_is_not_known() -> None:
    assert held(flow_of("48 0f 4c d9 | cmovl rbx, rcx", "c3 | ret"), Register.RBX) is None


def test_value_changed_in_a_loop_is_not_known_at_its_head() -> None:
    flow = flow_of("90 | nop", "48 ff c3 | inc rbx", "75 fb | jne 0x1001", "c3 | ret")

    assert flow.before[0x1001].get(Register.RBX) is None


def test_loop_is_a_cycle() -> None:
    flow = flow_of("90 | nop", "48 ff c3 | inc rbx", "75 fb | jne 0x1001", "c3 | ret")

    assert [flow.is_on_cycle(addr) for addr in sorted(flow.before)] == [False, True, True, False]


def test_retry_after_the_stack_has_grown_is_no_cycle() -> None:
    flow = flow_of("76 01 | jbe 0x1003", "c3 | ret", "ff d1 | call rcx", "eb f9 | jmp 0x1000")

    assert not any(flow.is_on_cycle(addr) for addr in flow.before)


def test_jump_out_of_the_function_has_no_successor() -> None:
    flow = flow_of("e9 00 10 00 00 | jmp 0x2005")

    assert flow.successors[ENTRY] == []


def test_reach_does_not_go_through_what_is_left_out() -> None:
    flow = flow_of("74 01 | je 0x1003", "90 | nop", "90 | nop", "c3 | ret")

    assert flow.reach([ENTRY], without=0x1003) == {0x1000, 0x1002}
    assert not flow.returns(flow.reach([ENTRY], without=0x1003))
    assert flow.returns(flow.reach([ENTRY], without=0x1002))


def test_result_of_the_hashers_call_is_the_hash() -> None:
    flow = flow_of("ff d1 | call rcx", "c3 | ret", on_call=hasher)

    assert held(flow, Register.RAX) is HASH
    assert flow.hash_definitions == {ENTRY}


def test_call_is_judged_by_the_state_before_it() -> None:
    seen = []

    def remember(_flow: Flow, call: Instruction, state: State) -> None:
        seen.append((call.ip, state.get(Register.RBX)))

    flow_of("ff d1 | call rcx", "c3 | ret", on_call=remember)

    assert seen == [(ENTRY, Argument(1))]


def test_halves_of_the_fallback_hashs_last_product_xored_are_the_hash() -> None:
    flow = flow_of(*LAST_FALLBACK_PRODUCT, "48 31 d0 | xor rax, rdx", "c3 | ret")

    assert held(flow, Register.RAX) is HASH


def test_halves_of_another_product_xored_are_no_hash() -> None:
    flow = flow_of(
        "49 b8 4f 12 7d c4 27 4e 8e 1d | mov r8, 0x1d8e4e27c47d124f", "49 f7 e0 | mul r8", "48 31 d0 | xor rax, rdx",
        "c3 | ret",
    )  # fmt: skip

    assert held(flow, Register.RAX) is None
    assert not flow.hash_definitions


def test_halves_of_two_products_xored_are_no_hash() -> None:
    flow = flow_of(
        *LAST_FALLBACK_PRODUCT, "49 89 d1 | mov r9, rdx", "49 f7 e0 | mul r8", "4c 31 c8 | xor rax, r9", "c3 | ret"
    )

    assert held(flow, Register.RAX) is None


def test_word_taken_out_of_aes_rounds_is_the_hash() -> None:
    flow = flow_of("66 0f 38 dc c1 | aesenc xmm0, xmm1", "66 48 0f 7e c0 | movq rax, xmm0", "c3 | ret")

    assert held(flow, Register.RAX) is HASH


def test_word_taken_out_of_another_register_is_no_hash() -> None:
    flow = flow_of("66 0f 38 dc c1 | aesenc xmm0, xmm1", "66 48 0f 7e d0 | movq rax, xmm2", "c3 | ret")

    assert held(flow, Register.RAX) is None


def test_pinned_place_holds_the_hash_though_paths_disagree() -> None:
    lines = ("74 03 | je 0x1005", "48 89 d9 | mov rcx, rbx", "c3 | ret")

    assert held(flow_of(*lines, pinned={0x1005: [Register.RCX]}), Register.RCX) is HASH


def test_a_value_popped_to_memory_is_in_no_register() -> None:
    flow = flow_of("50 | push rax", "8f 01 | pop qword ptr [rcx]", "c3 | ret")

    assert flow.places_of(last(flow), Argument(0))[0] == Register.RAX
    assert held(flow, Register.RSP) == StackAddress(0)


def test_control_register_is_no_place_to_read_from() -> None:
    flow = flow_of("0f 22 c3 | mov cr0, rbx", "31 db | xor ebx, ebx", "c3 | ret")

    assert flow.places_of(last(flow), Argument(1)) == []


@pytest.mark.parametrize("behind", ["c3 | ret", "eb fe | jmp 0x1007", "ff e0 | jmp rax"])
def test_comparison_that_no_branch_follows_guards_nothing(behind: str) -> None:
    flow = flow_of("48 8b 48 48 | mov rcx, [rax+0x48]", "48 39 01 | cmp [rcx], rax", behind)

    assert devirtualised_joins(flow, hasher_code(Argument(0))) == {}


def test_byte_store_is_found_by_base_and_offset() -> None:
    flow = flow_of(
        "88 53 08 | mov [rbx+8], dl", "88 53 09 | mov [rbx+9], dl", "89 53 08 | mov [rbx+8], edx",
        "88 51 08 | mov [rcx+8], dl", "c3 | ret",
    )  # fmt: skip

    assert flow.byte_stores({(Argument(1), 8)}) == [ENTRY]


def test_register_is_live_where_it_is_read_before_it_is_written() -> None:
    flow = flow_of("48 89 d9 | mov rcx, rbx", "48 89 c3 | mov rbx, rax", "c3 | ret")

    assert flow.is_live(0x1000, Register.RBX)
    assert not flow.is_live(0x1003, Register.RBX)
    assert not flow.is_live(0x1000, Register.RCX)


def test_register_is_not_live_across_a_call() -> None:
    flow = flow_of("ff d0 | call rax", "48 89 d9 | mov rcx, rbx", "c3 | ret")

    assert not flow.is_live(0x1000, Register.RBX)


def test_slot_is_live_where_it_is_read() -> None:
    flow = flow_of(*FRAME, "48 8b 55 f8 | mov rdx, [rbp-8]", "48 89 45 f8 | mov [rbp-8], rax", "c3 | ret")

    assert flow.is_live(0x1008, StackAddress(-16))
    assert not flow.is_live(0x100C, StackAddress(-16))
