"""Files as disks and networks damage them."""

from hypothesis import strategies as st


def damaged(whole: bytes, data: st.DataObject) -> bytes:
    """A file with up to four bytes changed and, half the time, its end cut off."""
    content = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    return bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
