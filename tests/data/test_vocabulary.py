"""Vocabularies: as a plain reference finds them, nothing lost on the way back, and strangers' ones harmless."""

import itertools
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from fourfold.data import vocabulary
from fourfold.data.dataset import Examples
from fourfold.data.vocabulary import LONGEST_PIECE, UNKNOWN, Vocabulary, encode_parts, fit_vocabulary, normalised
from fourfold.errors import DataError
from fourfold.settings import Reading

BPE_READING = Reading(vocabulary_size=400)
CHARACTERS = Reading(vocabulary="characters")
TEXTS = [
    "the cat sat on the mat and the other cat sat on the hat",
    "that is the other cat that sat there",
    "नमस्ते दुनिया नमस्ते दुनिया",
    "مرحبا بالعالم مرحبا",
    "👩‍👩‍👧 ❤️ 👩‍👩‍👧 ❤️",
    "1234567 tabs\tand  spaces   \n\nand lines",
]
words = st.sampled_from(" ".join(TEXTS[:2]).split())
any_text = st.text(st.characters(codec="utf-8"), max_size=60)


def bpe() -> Vocabulary:
    return Vocabulary(fit_vocabulary(TEXTS, BPE_READING))


# BPE against the plain algorithm


BYTES = [b"", b"?", *(bytes([byte]) for byte in range(256))]
SPACE = 2 + ord(" ")


def plain_merges(texts: list[str], size: int) -> list[tuple[int, int]]:
    """The commonest pair of neighbours becomes a piece, again and again; of equally common ones the first.

    The library spells bytes by symbols, and that of the space comes after all letters.
    """
    counts = Counter(word for text in texts for word in re.findall(r" ?[a-z]+", text))
    spelt = {word: [byte + 2 for byte in word.encode()] for word in counts}
    pieces, merges = [*BYTES], list[tuple[int, int]]()
    while len(pieces) < size:
        pairs: Counter[tuple[int, int]] = Counter()
        for word, ids in spelt.items():
            for pair in itertools.pairwise(ids):
                pairs[pair] += counts[word]
        if not pairs or max(pairs.values()) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], [257.5 if place == SPACE else place for place in pair]))
        made = plain_made(pieces, best)
        merges.append(best)
        spelt = {word: plain_merge(ids, best, made) for word, ids in spelt.items()}
    return merges


def plain_made(pieces: list[bytes], pair: tuple[int, int]) -> int:
    """The place of what a merge makes, which may be there already."""
    joined = pieces[pair[0]] + pieces[pair[1]]
    if joined not in pieces:
        pieces.append(joined)
    return pieces.index(joined)


def plain_merge(ids: list[int], pair: tuple[int, int], made: int) -> list[int]:
    """Every such pair, from the left, as one piece."""
    merged: list[int] = []
    place = 0
    while place < len(ids):
        found = tuple(ids[place : place + 2]) == pair
        merged.append(made if found else ids[place])
        place += 2 if found else 1
    return merged


def plain_encode(text: str, merges: list[tuple[int, int]]) -> list[int]:
    """Each word by the merges, in their order."""
    pieces, encoded = [*BYTES], list[int]()
    made = [plain_made(pieces, pair) for pair in merges]
    for word in re.findall(r" ?[a-z]+", text):
        ids = [byte + 2 for byte in word.encode()]
        for pair, place in zip(merges, made, strict=True):
            ids = plain_merge(ids, pair, place)
        encoded += ids
    return encoded


@given(texts=st.lists(st.lists(words, min_size=1, max_size=12).map(" ".join), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_merges_and_pieces_are_those_of_the_plain_algorithm(texts: list[str]) -> None:
    fitted = fit_vocabulary(texts, Reading(vocabulary_size=300))
    merges = plain_merges(texts, 300)
    assert json.loads(fitted) == {"kind": "bpe", "merges": [list(pair) for pair in merges]}
    ids, lengths = Vocabulary(fitted).encode(texts, 1000)
    for row, text in enumerate(texts):
        assert ids[row, : lengths[row]].tolist() == plain_encode(text, merges)


# Both kinds


@pytest.mark.parametrize("reading", [BPE_READING, CHARACTERS])
def test_order_does_not_matter(reading: Reading) -> None:
    fitted = fit_vocabulary(TEXTS, reading)
    for seed in range(5):
        assert fit_vocabulary(random.Random(seed).sample(TEXTS, len(TEXTS)), reading) == fitted


def test_of_very_much_text_a_part_is_read_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{chr(97 + place % 26) * 20} word{place}" for place in range(500)]
    whole = fit_vocabulary(texts, BPE_READING)
    monkeypatch.setattr(vocabulary, "A_PIECE", 10)  # 4,000 bytes of 14,000
    fitted = fit_vocabulary(texts, BPE_READING)
    assert fitted != whole
    assert len(json.loads(fitted)["merges"]) > 50
    assert fit_vocabulary(texts[::-1], BPE_READING) == fitted
    assert fit_vocabulary(["aaa " * 1000], BPE_READING) == fit_vocabulary(["aaa " * 1000] * 2, BPE_READING)


def test_another_process_fits_the_same() -> None:
    """Hash tables have another order in each process."""
    code = (
        "from tests.data.test_vocabulary import BPE_READING, TEXTS; "
        "from fourfold.data.vocabulary import fit_vocabulary; print(fit_vocabulary(TEXTS, BPE_READING))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == fit_vocabulary(TEXTS, BPE_READING)


@given(text=any_text)
@settings(max_examples=200, deadline=None)
def test_bpe_loses_nothing(text: str) -> None:
    ids, lengths = FITTED.encode([text], 1000)
    assert ids.dtype == torch.int32
    assert ids.shape == (1, lengths[0])
    assert (ids != UNKNOWN).all()
    assert FITTED.decode(ids[0]) == text


@given(texts=st.lists(any_text, max_size=5), longest=st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_what_is_too_long_is_cut_and_what_is_short_is_padded(texts: list[str], longest: int) -> None:
    for found in (FITTED, LETTERS):
        alone = [found.encode([text], 1000)[0][0].tolist()[:longest] for text in texts]
        ids, lengths = found.encode(texts, longest)
        assert lengths.dtype == torch.int64
        assert lengths.tolist() == [len(row) for row in alone]
        assert ids.shape == (len(texts), max(lengths.tolist(), default=0))
        assert ids.tolist() == [row + [0] * (ids.shape[1] - len(row)) for row in alone]


def test_many_texts_are_those_alone() -> None:
    texts = [f"{text} {number}" for number in range(60) for text in TEXTS]
    ids, lengths = FITTED.encode(texts, 4096)
    assert len(texts) > vocabulary.AT_ONCE // (4096 * LONGEST_PIECE) > 0  # so they do not go at once
    assert [FITTED.decode(row[:length]) for row, length in zip(ids, lengths, strict=True)] == texts


@given(text=any_text)
@settings(max_examples=100, deadline=None)
def test_characters_are_looked_up_one_by_one(text: str) -> None:
    known = sorted({character for each in TEXTS for character in each})
    ids, _ = LETTERS.encode([text], 1000)
    assert ids[0].tolist() == [known.index(c) + 2 if c in known else UNKNOWN for c in text]
    assert LETTERS.decode(ids[0]) == "".join(c if c in known else "\ufffd" for c in text)
    assert LETTERS.size == len(known) + 2


def test_the_commonest_characters_are_known() -> None:
    letters = [chr(0x4E00 + place) for place in range(400)]
    texts = ["".join(letters[place:]) for place in range(400)]
    found = Vocabulary(fit_vocabulary(texts, Reading(vocabulary="characters", vocabulary_size=300)))
    assert found.size == 300
    ids, _ = found.encode([texts[0]], 400)
    assert ids[0].tolist() == [UNKNOWN] * 102 + list(range(2, 300))


def test_only_what_is_read_is_fitted() -> None:
    reading = Reading(vocabulary="characters", longest=3)
    assert json.loads(fit_vocabulary(["abcx", "bay"], reading))["characters"] == "abcy"


def test_marks_stay_with_their_letters() -> None:
    ids, lengths = FITTED.encode(["नमस्ते", " दुनिया", "مرحبا"], 100)
    assert lengths.tolist() == [1, 1, 1]
    assert FITTED.decode(ids[:, 0]) == "नमस्ते दुनियाمرحبا"


def test_bytes_have_the_symbols_of_the_library() -> None:
    splitter = ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("".join(map(chr, range(128))), "éß中🙂\u0378"):
        symbols = "".join(vocabulary._byte_symbols()[byte] for byte in text.encode())
        assert "".join(piece for piece, _ in splitter.pre_tokenize_str(text)) == symbols
    assert sorted(vocabulary._byte_symbols()) == sorted(ByteLevel.alphabet())


@pytest.mark.parametrize("letter", ["a", " ", "1", "!", "語", "\0", "\n"])
def test_a_text_without_end_takes_no_time(letter: str) -> None:
    start = time.perf_counter()
    texts = [letter * 5_000_000, *TEXTS]
    found = Vocabulary(fit_vocabulary(texts, BPE_READING))
    ids, lengths = found.encode(texts, 512)
    assert lengths[0] == 512
    assert found.decode(ids[0])[:20] == letter * 20
    assert time.perf_counter() - start < 5  # a tenth of a second; hours if any step were quadratic


# Vocabularies of strangers


def stored(*merges: tuple[int, int]) -> str:
    return json.dumps({"kind": "bpe", "merges": merges})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no vocabulary"),
        ("{}", "no vocabulary"),
        ("[" * 100_000, "no vocabulary"),
        ('{"kind": "words"}', "no vocabulary"),
        ('{"kind": "bpe", "merges": [[2]]}', "no vocabulary"),
        ('{"kind": "bpe", "merges": [], "more": 1}', "no vocabulary"),
        ('{"kind": "characters", "characters": "\\ud800"}', "no vocabulary"),
        ('{"kind": "characters", "characters": "ba"}', "do not ascend"),
        ('{"kind": "characters", "characters": "aa"}', "do not ascend"),
        (stored((2, 258)), "merge 0 is of unknown pieces"),
        (stored((97, 98), (1, 258)), "merge 1 is of unknown pieces"),
        (stored((-1, 98)), "merge 0 is of unknown pieces"),
        (stored((2**70, 98)), "no vocabulary"),
        (stored((97, 97), *((place, place) for place in range(258, 300))), "merge 6 makes a piece of 128 bytes"),
        (stored(*[(97, 97)] * 200_001), "no vocabulary"),
        (" " * (vocabulary.LARGEST + 1), "at most 16,777,216"),
        (Tokenizer(BPE()).to_str(), "no vocabulary"),
    ],
)
def test_what_is_no_vocabulary_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary(text)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_merges_of_any_kind_lose_nothing(data: st.DataObject) -> None:
    """Also such as no training makes: twice the same, two ways to one piece, half characters."""
    merges: list[tuple[int, int]] = []
    for rank in range(data.draw(st.integers(0, 6))):
        near = st.sampled_from([99, 100, 34, 197, *range(258, 258 + rank)])
        merges.append(data.draw(st.tuples(near, near)))
    try:
        found = Vocabulary(stored(*merges))
    except DataError:
        return  # of a piece that is not there, since two merges made the same
    text = data.draw(st.text("ab Ã中", max_size=20))
    assert found.decode(found.encode([text], 1000)[0][0]) == text


def test_a_damaged_one_is_a_vocabulary_or_refused() -> None:
    whole = fit_vocabulary(TEXTS, BPE_READING)
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        content = [*whole]
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.choice('0123456789[]{},"\\x')
        try:
            found = Vocabulary("".join(content))
        except DataError:
            refused += 1
        else:
            assert found.decode(found.encode(TEXTS[:1], 100)[0][0]) == TEXTS[0]
    assert 0 < refused < 300


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match=r'pip install "fourfold\[text\]"'):
        fit_vocabulary(TEXTS, BPE_READING)
    with pytest.raises(DataError, match=r'pip install "fourfold\[text\]"'):
        Vocabulary(stored())
    assert Vocabulary(fit_vocabulary(TEXTS, CHARACTERS)).size > 2


# Splits


def part(*texts: str) -> Examples:
    return Examples(torch.zeros(len(texts), 0, dtype=torch.int32), [f"{text[:1]}.txt" for text in texts], texts=texts)


def test_splits_become_pieces_and_what_is_cut_is_told() -> None:
    parts = {"train": part("the cat", "a", "hats and mats"), "test": part("on")}
    encoded, finding = encode_parts(parts, LETTERS, 4)
    for split, whole in parts.items():
        assert whole.texts is not None
        ids, lengths = LETTERS.encode(whole.texts, 4)
        assert torch.equal(encoded[split].loaded, ids)
        assert encoded[split].lengths is not None
        assert torch.equal(torch.as_tensor(encoded[split].lengths), lengths)
        assert encoded[split].texts == whole.texts
    assert finding is not None
    assert (finding.severity, finding.name, finding.count) == ("note", "cut", 2)
    assert finding.examples == ("t.txt", "h.txt")
    assert [(spot.split, spot.index) for [spot] in finding.places] == [("train", 0), ("train", 2)]
    assert encode_parts(parts, LETTERS, 13)[1] is None


# Nearly equal texts


@given(text=any_text)
def test_normalised_once_is_enough(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    assert normalised(f" {text}\n") == normalised(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Free  ENTRY\n now", "free entry now"),
        ("STRASSE", "straße"),
        ("\u00e9tude", "e\u0301tude"),
        ("ｆｒｅｅ", "free"),
        ("no\u00a0break", "no break"),
    ],
)
def test_normalised_ones_are_equal(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert normalised(one) != normalised(other + "!")


FITTED, LETTERS = bpe(), Vocabulary(fit_vocabulary(TEXTS, CHARACTERS))
