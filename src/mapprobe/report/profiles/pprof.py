"""The profile in the format of `go tool pprof`: the message perftools.profiles.Profile, gzipped."""

from __future__ import annotations

import gzip
from datetime import datetime
from functools import cache
from typing import Any, BinaryIO

from mapprobe.analysis.profile import VALUES, Profile
from mapprobe.errors import MapprobeError
from mapprobe.report.profiles.messages import message_classes

# github.com/google/pprof proto/profile.proto: the fields of each message that are written here; * is repeated
MESSAGES = {
    "ValueType": "type=1:int64 unit=2:int64",
    "Label": "key=1:int64 str=2:int64",
    "Sample": "location_id=1:uint64* value=2:int64* label=3:Label*",
    "Mapping": "id=1:uint64 memory_start=2:uint64 memory_limit=3:uint64 filename=5:int64 build_id=6:int64 "
    "has_functions=7:bool has_filenames=8:bool has_line_numbers=9:bool has_inline_frames=10:bool",
    "Line": "function_id=1:uint64 line=2:int64",
    "Location": "id=1:uint64 mapping_id=2:uint64 address=3:uint64 line=4:Line*",
    "Function": "id=1:uint64 name=2:int64 system_name=3:int64 filename=4:int64",
    "Profile": "sample_type=1:ValueType* sample=2:Sample* mapping=3:Mapping* location=4:Location* "
    "function=5:Function* string_table=6:string* time_nanos=9:int64 comment=13:int64* "
    "default_sample_type=14:int64",
}


def write(profile: Profile, out: BinaryIO) -> None:
    """Write the profile; the same profile gives the same bytes."""
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as file:
        file.write(message_of(profile).SerializeToString(deterministic=True))


def message_of(profile: Profile) -> Any:
    """Return the message Profile."""
    texts = _Texts()
    message = message_class()()
    for name, (_, unit) in VALUES.items():
        message.sample_type.add(type=texts[name], unit=texts[unit])
    message.default_sample_type = texts[next(iter(VALUES))]
    _add_mapping(message, texts, profile)
    _add_locations(message, texts, profile)
    key = texts["type"]
    for stack, type_name, values in zip(profile.stacks, profile.types, profile.values.tolist(), strict=True):
        sample = message.sample.add(location_id=[row + 1 for row in stack], value=values)
        if type_name:
            sample.label.add(key=key, str=texts[type_name])
    _add_comments(message, texts, profile)
    message.string_table.extend(texts)
    return message


@cache
def message_class() -> Any:
    """Return the class of the message Profile."""
    return message_classes("perftools.profiles", "proto3", MESSAGES)["Profile"]


class _Texts(dict[str, int]):
    """The string table: each distinct text with its row; row 0 is the empty text."""

    def __init__(self) -> None:
        super().__init__({"": 0})

    def __missing__(self, text: str) -> int:
        self[text] = row = len(self)
        return row


def _add_mapping(message: Any, texts: _Texts, profile: Profile) -> None:
    """Add the binary, marked as having functions and lines: pprof then looks for no symbols."""
    message.mapping.add(
        id=1,
        memory_limit=max((location.pc for location in profile.locations), default=0) + 1,
        filename=texts[str(profile.recording["binary"])],
        build_id=texts[str(profile.recording["build_id"])],
        has_functions=True,
        has_filenames=True,
        has_line_numbers=True,
        has_inline_frames=True,
    )


def _add_locations(message: Any, texts: _Texts, profile: Profile) -> None:
    functions: dict[tuple[str, str], int] = {}
    for row, location in enumerate(profile.locations):
        added = message.location.add(id=row + 1, mapping_id=1, address=location.pc)
        for frame in location.frames:
            function = functions.setdefault((frame.function, frame.file), len(functions) + 1)
            added.line.add(function_id=function, line=frame.line)
    for (name, file), number in functions.items():
        message.function.add(id=number, name=texts[name], system_name=texts[name], filename=texts[file])


def _add_comments(message: Any, texts: _Texts, profile: Profile) -> None:
    recording = profile.recording
    comments = [f"mapprobe: view {profile.view}; {recording['events']:,} events, {recording['lost_events']:,} lost"]
    if profile.left_out:
        comments.append(f"{profile.left_out:,} stacks that retain the least are one sample, (other)")
    message.comment.extend(texts[comment] for comment in comments)
    message.time_nanos = _nanoseconds(str(recording["started"]))


def _nanoseconds(wall_clock: str) -> int:
    try:
        return int(datetime.fromisoformat(wall_clock).timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        raise MapprobeError(f"recording: its start {wall_clock!r} is no time: record again") from None
