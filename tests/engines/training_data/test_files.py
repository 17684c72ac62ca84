"""Reading data files: rows, bad rows by line, columns, folders, splits of the data's own."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines.data.own import find_own
from engines.data.training.columns import Columns, columns_of
from engines.data.training.dataset import Table, read, read_table
from engines.data.training.docstrings import pairs, pairs_hash
from engines.data.training.sources import find
from engines.protocol.problems import Problem
from engines.protocol.text_file import FileError
from engines.protocol.work import Training
from tests.engines.training_data.kit import Characters


def table(file: Path, **changes: object) -> Table:
    return read_table(Training(data=str(file), **changes))  # type: ignore[arg-type]


def written(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def turns(found: Table) -> list[tuple[str, str]]:
    return [(one.turns[0][1], one.turns[1][1]) for one in found.examples]


def test_that_csv_with_quotes_and_lines_is_read_and_bad_rows_have_their_line(tmp_path: Path) -> None:
    text = 'prompt,response\n"two\nlines","say ""yes"", he said"\n\na,\nb,c,d\n,x\nlast,"one"\n'
    found = table(written(tmp_path, "a.csv", text))
    assert turns(found) == [("two\nlines", 'say "yes", he said'), ("last", "one")]
    assert found.places == ("line 2", "line 8")
    assert [str(bad) for bad in found.bad] == [
        "line 5 has no response", "line 6 has 3 values for 2 columns", "line 7 has no prompt",
    ]  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_that_the_separator_is_that_of_the_first_line(tmp_path: Path, separator: str) -> None:
    rows = "\r\n".join(separator.join(row) for row in (("question", "answer"), ("1+1?", "2")))
    assert turns(table(written(tmp_path, "a.csv", rows))) == [("1+1?", "2")]


def test_that_a_mark_of_utf8_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert turns(table(written(tmp_path, "a.csv", b"\xef\xbb\xbfprompt,response\nq,\xc3\xa4\n"))) == [("q", "ä")]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", "prompt,response\nq,ä\n".encode("latin-1"), r"not UTF-8 text: byte 18 \(line 2\) is 0xe4"),
        ("a.csv", "prompt,response\nq,a\n".encode("utf-16"), "looks like UTF-16"),
        ("a.csv", b"", "holds no rows"),
        ("a.csv", b"prompt,response\n", "holds no rows"),
        ("a.csv", b'prompt,response\nq,"a\n', "row that begins in line 2 cannot be read"),
        ("a.csv", b"text,text\na,b\n", "two columns called text"),
        ("a.csv", b"prompt,response\nq,\n", "No row of a.csv can be used: line 2 has no response"),
        ("a.jsonl", b"\n\n", "holds no rows"),
        ("a.jsonl", b"nothing\n", "no row that can be read: line 1 is not JSON"),
        ("a.json", b"{}", "does not hold a list"),
        ("a.json", b"[1", "is not JSON"),
        ("a.parquet", b"PAR1", "cannot be read after 0 rows"),
        ("a.arrow", b"", "cannot be read after 0 rows"),
        ("a.txt", b"text", "not a kind of data file"),
    ],
)
def test_that_a_file_that_cannot_be_used_says_why(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    with pytest.raises(FileError, match=said) as refused:
        table(written(tmp_path, name, data))
    assert refused.value.advice


def test_that_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no file"):
        table(tmp_path / "none.csv")
    with pytest.raises(FileError, match="no dataset of that name") as refused:
        read_table(Training(data="owner/name"), tmp_path)
    assert "llm-workbench data owner/name" in refused.value.advice


@pytest.mark.parametrize("name", ["~nobody-of-that-name/a.csv", f"{'long' * 100}.csv"])
def test_that_a_name_that_no_file_can_have_is_said_and_not_raised(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError) as refused:
        read_table(Training(data=name), tmp_path)
    assert refused.value.advice
    found = find_own(Training(data=name), tmp_path)
    assert isinstance(found, Problem)
    assert str(refused.value) == found.message


def test_that_bad_lines_of_json_are_named(tmp_path: Path) -> None:
    lines = ['{"prompt": "a", "response": "b"}', "{", "[1]", "", '{"prompt": "c", "response": ["d"]}', '{"prompt": 1}']
    found = table(written(tmp_path, "a.jsonl", "\n".join(lines)))
    assert turns(found) == [("a", "b")]
    assert [bad.place for bad in found.bad] == ["line 2", "line 3", "line 5", "line 6"]
    assert found.bad[1].reason == "is not an object with named values"
    assert found.bad[2].reason == "has a list or an object where text is expected"


def test_that_json_may_be_a_list_or_lines(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"text": "two"}]
    for name, text in (("list", json.dumps(rows)), ("lines", "\n".join(map(json.dumps, rows)))):
        found = table(written(tmp_path, f"{name}.json", text))
        assert [one.text for one in found.examples] == ["one", "two"]


def test_that_parquet_and_arrow_hold_messages(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    data = pa.table({"id": [1, 2], "messages": [talk, talk[:1]]})
    pq.write_table(data, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as out, pa.ipc.new_stream(out, data.schema) as stream:
        stream.write_table(data)
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as out, pa.ipc.new_file(out, data.schema) as stream:
        stream.write_table(data)
    for name in ("a.parquet", "b.arrow", "c.arrow"):
        found = table(tmp_path / name)
        assert found.columns == Columns(messages="messages")
        assert found.examples[0].turns == (("user", "q"), ("assistant", "a"))
        assert [str(bad) for bad in found.bad] == ["row 2 has no message of the assistant"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]', "ab"),
        ('[{"type": "image", "url": "x"}]', ""),
        ("[]", ""),
        ("null", ""),
    ],
)
def test_that_messages_in_parts_of_text_are_one_text_and_others_say_why(
    tmp_path: Path, content: str, said: str
) -> None:
    row = f'{{"messages": [{{"role": "human", "content": {content}}}, {{"role": "AI", "content": "a"}}]}}'
    file = written(tmp_path, "a.jsonl", row)
    if said:
        assert table(file).examples[0].turns == (("user", said), ("assistant", "a"))
    else:
        with pytest.raises(FileError, match="line 1 holds messages that are not a list of role and text"):
            table(file)


def test_that_json_that_is_nested_too_deeply_is_a_bad_row_or_file(tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    found = table(written(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{{"text": {deep}}}\n'))
    assert [bad.place for bad in found.bad] == ["line 2"]
    with pytest.raises(FileError, match="is not JSON"):
        table(written(tmp_path, "b.json", deep))
    texts = json.dumps({"messages": f"[{{{deep}"})
    with pytest.raises(FileError, match="not a list of role and text"):
        table(written(tmp_path, "c.jsonl", texts))


def test_that_times_that_python_cannot_hold_do_not_cost_the_rows(tmp_path: Path) -> None:
    data = {"text": ["a"], "when": pa.array([10**12], pa.timestamp("s")), "took": pa.array([1], pa.duration("ns"))}
    pq.write_table(pa.table(data), tmp_path / "a.parquet")
    found = table(tmp_path / "a.parquet")
    assert (found.names, [one.text for one in found.examples]) == (("text", "when", "took"), ["a"])


def test_that_other_names_of_roles_are_known_and_what_follows_the_last_answer_is_left(tmp_path: Path) -> None:
    said = [("system", "s"), ("human", "q"), ("gpt", "a"), ("human", "more")]
    row = {"conversations": [{"from": who, "value": text} for who, text in said]}
    found = table(written(tmp_path, "a.jsonl", json.dumps(row)))
    assert found.examples[0].turns == (("system", "s"), ("user", "q"), ("assistant", "a"))


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"Question": "q", "Answer": "a", "text": "t"}, Columns("Question", "Answer")),
        ({"instruction": "q", "input": "i", "output": "a"}, Columns("instruction + input", "output")),
        ({"instruction": "q", "input": "", "output": "a"}, Columns("instruction", "output")),
        ({"text": "t", "url": "http://a.b/c/d/e"}, Columns(text="text")),
        ({"id": "1", "who": "a long question", "what": "an even longer answer"}, Columns("who", "what")),
        ({"line": "only one"}, Columns(text="line")),
        ({"talk": [{"role": "user", "content": "q"}]}, Columns(messages="talk")),
    ],
)
def test_that_columns_are_guessed_from_names_and_lengths(row: dict[str, object], columns: Columns) -> None:
    assert columns_of(Training(), [row]) == columns


def test_that_named_columns_are_used_and_a_wrong_name_is_refused() -> None:
    row = {"prompt": "q", "response": "a", "better": "b", "text": "t"}
    assert columns_of(Training(response_column="better"), [row]) == Columns("prompt", "better")
    assert columns_of(Training(text_column="text"), [row]) == Columns(text="text")
    assert columns_of(Training(prompt_column="text"), [row]) == Columns("text", "response")
    with pytest.raises(FileError, match="no column 'respons'") as refused:
        columns_of(Training(response_column="respons"), [row])
    assert "response" in refused.value.advice
    with pytest.raises(FileError, match="cannot be guessed"):
        columns_of(Training(), [{"n": 1}])


def test_that_a_folder_gives_the_files_of_each_split(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, rows in (("train-00000-of-00002", "a b"), ("train-00001-of-00002", "c"), ("validation", "d a")):
        lines = (json.dumps({"text": text}) for text in rows.split())
        written(data, f"{name}.jsonl", "\n".join(lines))
    written(tmp_path, "dataset_info.json", "{}")
    written(data, "other.jsonl", '{"text": "z"}')
    found = table(tmp_path)
    assert [one.text for one in found.examples] == ["a", "b", "c", "d", "a"]
    assert found.own_splits == ("train", "train", "train", "validation", "validation")
    assert found.places[3] == "data/validation.jsonl, line 1"
    dataset = read(Training(data=str(tmp_path), test_share=0), Characters())
    assert (len(dataset.train), len(dataset.validation), len(dataset.test), dataset.copies) == (2, 2, 0, 1)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileError, match="holds no data files"):
        find(str(empty))


def test_that_a_column_named_split_splits(tmp_path: Path) -> None:
    rows = "split,text\ntrain,a\ntest,b\nval,c\n"
    dataset = read(Training(data=str(written(tmp_path, "a.csv", rows)), text_column="text"), Characters())
    assert dataset.facts()["training.split_rows"] == "train 1, validation 1, test 1"


def test_that_changed_data_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "text\none\n")
    hash = table(file).hash
    assert hash.startswith("sha256:")
    assert table(file, data_hash=hash).hash == hash
    written(tmp_path, "a.csv", "text\ntwo\n")
    with pytest.raises(FileError, match="has changed since"):
        table(file, data_hash=hash)


def test_that_facts_say_what_became_of_the_rows(tmp_path: Path) -> None:
    rows = "".join(f"q{n},{'a' * n}\n" for n in range(40))
    workload = Training(data=str(written(tmp_path, "a.csv", "prompt,response\n" + rows)), sequence_tokens=30)
    facts = read(workload, Characters(has_template=False)).facts()
    assert facts["training.rows"] == "40"
    assert facts["training.bad_rows"] == "line 2 has no response"
    assert facts["training.rows_left_out_because"] == "1 has no response"
    assert (facts["training.rows_tokenised"], facts["training.rows_unfit"]) == ("39", "0")
    assert facts["training.rows_truncated"] == "14"  # "q26", a newline and 26 letters leave no room for the end token
    assert facts["training.split_rows"] == "train 35, validation 2, test 2"
    assert int(facts["training.loss_tokens"]) < int(facts["training.tokens"])


def test_that_docstrings_are_the_same_twice_and_not_in_their_functions() -> None:
    found = pairs()
    assert len(found) > 1000
    assert len(set(found)) == len(found)
    hash = pairs_hash()
    pairs.cache_clear()
    assert pairs_hash() == hash
    ask, said = next(pair for pair in found if "def urlsplit(" in pair[0] or "def abspath(" in pair[0])
    assert said.split("\n")[0] not in ask
    dataset = read(Training(data="docstrings", sequence_tokens=4096), Characters())
    assert dataset.rows["test"] == round(0.05 * len(found))
    assert dataset.facts()["training.data_hash"] == hash


def test_that_of_large_data_only_what_a_trial_can_use_is_tokenised(tmp_path: Path) -> None:
    rows = "".join(f"question {n},answer {n}\n" for n in range(100_000))
    file = written(tmp_path, "a.csv", "prompt,response\n" + rows)
    small = Training(
        data=str(file), sequence_tokens=64, batch_size=2, accumulation=2, steps=9, warmup_steps=1, evaluation_tokens=50
    )
    tokenizer = Characters(has_template=False)
    packed, plain = read(small, tokenizer), read(msgspec.structs.replace(small, packing=False), tokenizer)
    assert 10 * 2 * 2 * 64 <= sum(len(one.ids) for one in packed.train) < 10 * 2 * 2 * 64 + 64
    assert len(plain.train) == 10 * 2 * 2
    assert 50 <= sum(one.loss_tokens for one in packed.validation) < 70
    again, other = read(small, tokenizer, "0"), read(small, tokenizer, "1")
    assert again.train == packed.train
    assert other.train != packed.train
    assert (other.validation, other.hashes) == (packed.validation, packed.hashes)
    assert packed.facts()["training.split_rows"] == "train 90000, validation 5000, test 5000"
