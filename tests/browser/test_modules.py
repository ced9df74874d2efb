"""Modules of the page alone: CSV, documents, code points, state, quoting. Chromium imports them from the server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from support.browser import opened_example
from support.running import Served


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser, site: Served) -> AsyncIterator[Page]:
    """Yield one tab for all tests: they call modules, and leave the page as it is."""
    async with opened_example(browser, site) as tab:
        yield tab


@pytest.fixture
def modules(page: Page) -> Any:
    """Return a function that calls a function of a module."""

    async def call(module: str, function: str, *arguments: Any) -> Any:
        return await page.evaluate(
            """async ([module, name, values]) => {
              try {
                return {value: (await import(`/playground/${module}.js`))[name](...values)};
              } catch (error) {
                return {error: error.message};
              }
            }""",
            [module, function, list(arguments)],
        )

    return call


async def test_csv_is_that_of_rfc_4180(modules: Any) -> None:
    """Quotes, separators and line ends in fields, empty fields, and files without a last line end."""
    cases: dict[str, list[list[str]]] = {
        "a,b\r\n1,2\r\n": [["a", "b"], ["1", "2"]],
        "a,b\n1,2": [["a", "b"], ["1", "2"]],
        'a\n"x,y"\n"p ""q"" r"\n"l1\nl2"\n""\n': [["a"], ["x,y"], ['p "q" r'], ["l1\nl2"]],
        "a,b\n,\n\n1,": [["a", "b"], ["", ""], ["1", ""]],
        "\ufeffa;b\n1;2,3": [["a", "b"], ["1", "2,3"]],
        '"a;b",c\n1,2': [["a;b", "c"], ["1", "2"]],
        "a\tb\r1\t2": [["a", "b"], ["1", "2"]],
        "": [],
        'a,b\n"1",': [["a", "b"], ["1", ""]],
        "\n\r\na;b\n1;2": [["a", "b"], ["1", "2"]],
    }
    for text, rows in cases.items():
        assert await modules("documents/csv", "parseCsv", text) == {"value": rows}, text
    for text, line in {'a\n\n"b': 3, '"a\nb"c': 2, 'x\n"a" ,b': 2, "t\n\nRome, in Italy": 3, 'a,b\n"1\n2"': 2}.items():
        assert (await modules("documents/csv", "parseCsv", text))["error"].startswith(f"Line {line}: ")


async def test_columns_without_and_with_the_same_name(modules: Any) -> None:
    """A data frame writes its index without a name. Two columns with one name are an error."""
    frame = ",text,label\n0,Paris,a\n1,Rome,b\n"
    for chosen, documents in {
        "": ["Paris", "Rome"],
        "label": ["a", "b"],
        "*": [{"text": "Paris", "label": "a"}, {"text": "Rome", "label": "b"}],
    }.items():
        parsed = (await modules("documents/parse", "parseDocuments", frame, "csv", chosen))["value"]
        assert parsed["documents"] == documents
        assert parsed["fields"] == ["text", "label"]
    assert (await modules("documents/parse", "parseDocuments", " \n1", "csv"))["value"]["documents"] == ["1"]
    repeated = await modules("documents/parse", "parseDocuments", "text,text\n1,2", "csv")
    assert 'several columns "text"' in repeated["error"]
    nameless = (await modules("documents/parse", "parseDocuments", '[{"": "x", "text": "y"}]', "json"))["value"]
    assert nameless["documents"] == ["y"]


async def test_json_of_all_editors(modules: Any) -> None:
    """A mark of byte order, blank lines that count, and objects that are nested too deeply to be sent."""
    assert (await modules("documents/parse", "parseDocuments", '\ufeff["a"]', "json"))["value"]["documents"] == ["a"]
    blank = await modules("documents/parse", "parseDocuments", '"a"\n\n\n{x\n', "json")
    assert blank["error"].startswith("Line 4 is not JSON")
    deep = '[{"a":' + "[" * 100_000 + "]" * 100_000 + ',"b":"x"}]'
    assert "nested more than 100" in (await modules("documents/parse", "parseDocuments", deep, "json"))["error"]
    assert (await modules("documents/parse", "parseDocuments", deep, "json", "b"))["value"]["documents"] == ["x"]


async def test_excerpts_end_between_words(modules: Any) -> None:
    """Around each mark. Marks that are near each other share an excerpt; texts without spaces are cut anywhere."""
    words = "word " * 400

    async def shown(text: str, marks: list[list[int]]) -> str:
        spans = [{"start": start, "end": end} for start, end in marks]
        pieces = (await modules("codepoints", "pieces", text, None, spans))["value"]
        return "".join(piece["text"] for piece in (await modules("excerpt", "excerpt", text, pieces, spans))["value"])

    assert await shown("short", [[0, 5]]) == "short"
    for text in (words, "😀" * 900, " " + "x" * 900):
        assert 200 < len(await shown(text, [])) < 900, "the beginning"
    assert (await shown(words, [])).endswith("word …")
    far = await shown(words, [[1500, 1504], [10, 14]])
    assert far.count("…") == 2
    assert set(far.replace("…", "").split()) == {"word"}
    assert (await shown(words, [[500, 504], [520, 524]])).count("…") == 2
    assert not (await shown(words, [[1990, 2000]])).endswith("…")
    huge = await shown(words, [[100, 1900]])
    assert len(huge) < 600
    assert (await shown("😀" * 900, [[800, 802]])).startswith("… 😀")


async def test_field_to_rank(modules: Any) -> None:
    """A known name first, in a fixed order; else the first column, or all fields of an object."""
    for header, field in {
        "id,Text": "Text",
        "passage,document": "document",
        "b,a": "b",
        " content ,x": " content ",
    }.items():
        parsed = (await modules("documents/parse", "parseDocuments", f"{header}\n1,2", "csv"))["value"]
        assert parsed["field"] == field
    objects = '[{"a": "x", "b": "y"}, {"c": "z"}]'
    assert (await modules("documents/parse", "parseDocuments", objects, "json"))["value"]["field"] == "*"
    assert (
        "Document 2 has no text" in (await modules("documents/parse", "parseDocuments", objects, "json", "a"))["error"]
    )


async def test_positions_are_code_points(modules: Any) -> None:
    """Characters beyond the basic plane, and combined ones."""
    pieces = (
        await modules(
            "codepoints",
            "pieces",
            "a😀b😀👩‍👩‍👧cd",
            {"start": 1, "end": 3},
            [{"start": 2, "end": 4}, {"start": 9, "end": 10}],
        )
    )["value"]
    assert [(piece["text"], piece["window"], piece["highlight"]) for piece in pieces] == [
        ("a", False, False),
        ("😀", True, False),
        ("b", True, True),
        ("😀", False, True),
        ("👩‍👩‍👧", False, False),
        ("c", False, True),
        ("d", False, False),
    ]
    assert (await modules("codepoints", "pieces", "ab", None, []))["value"][0]["text"] == "ab"
    past = (await modules("codepoints", "pieces", "ab", {"start": 1, "end": 99}, []))["value"]
    assert [piece["text"] for piece in past] == ["a", "b"]


async def test_highlights_are_marks_in_the_window(page: Page, modules: Any) -> None:
    """A card with sentences that the server found best."""
    text = "One. Two. Three."
    marks = await page.evaluate(
        """async ([text]) => {
          const {resultCard} = await import("/playground/card.js");
          const {rows} = await import("/playground/rows.js");
          const result = {index: 0, relevance_score: 0.5, highlights: [{start: 5, end: 9, relevance_score: 0.9}]};
          const [row] = rows({response: {results: [result]}, scoreType: "sigmoid"}, [text]);
          return [...resultCard(row, "sigmoid").querySelectorAll("mark.highlight")].map((mark) => mark.textContent);
        }""",
        [text],
    )
    assert marks == ["Two."]


async def test_fragment_is_bounded_and_checked(modules: Any) -> None:
    """Values of a link have known types and lengths. Too long texts have no link."""
    settings = {
        "model": "m",
        "topN": 2,
        "minScore": 0.5,
        "scoreType": "raw",
        "instruction": "é",
        "maxTokens": 7,
        "highlights": 2,
    }
    state = {
        "query": "😀",
        "text": "a\nb",
        "format": "csv",
        "field": "x",
        "view": "two",
        "columns": [settings, settings],
    }
    fragment = (await modules("state", "toFragment", state))["value"]
    assert set(fragment) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert (await modules("state", "fromFragment", f"#{fragment}"))["value"] == state
    assert (await modules("state", "toFragment", {**state, "text": "x" * 30_000}))["value"] is None
    for wrong in ("", "#", "x", "bnVsbA", "W10", "eyJ2IjoyfQ", "%%%", "A" * 40_000):
        assert (await modules("state", "fromFragment", wrong))["value"] is None, wrong
    lists = {
        "query": [],
        "text": {},
        "format": "xml",
        "view": 1,
        "columns": [{"topN": "1", "highlights": 99, "scoreType": "<b>"}],
    }
    odd = (await modules("state", "toFragment", lists))["value"]
    read = (await modules("state", "fromFragment", odd))["value"]
    assert (read["query"], read["text"], read["format"], read["view"]) == ("", "", "lines", "one")
    assert (read["columns"][0]["topN"], read["columns"][0]["highlights"], read["columns"][0]["scoreType"]) == (
        None,
        5,
        "",
    )


async def test_server_timing_is_read(modules: Any) -> None:
    """In any order, with the entries of proxies. A missing part means no times."""
    header = 'cdn;desc="x, y";dur=3, total;dur=9.9, queue;dur=1.2, tokenize;dur=0.4;desc=a, inference;dur=8'
    expected = {"queue": 1.2, "tokenize": 0.4, "inference": 8, "total": 9.9}
    assert (await modules("timing", "parseServerTiming", header))["value"] == expected
    assert (await modules("timing", "parseServerTiming", "total;dur=1"))["value"] is None
    assert (await modules("timing", "parseServerTiming", ""))["value"] is None


async def test_code_shows_what_is_not_seen(modules: Any) -> None:
    """Characters that reorder text or control a terminal are escapes, in strings and in names. Emoji stay."""
    text = "a\u202eb\u2066c\x9bd\u2028e\x7f👩‍👩‍👧"
    body = {"query": text, "documents": [{text: text}, text]}
    target = {"base": "http://h", "grpc": "h:1", "tls": False, "key": False, "model": "m"}
    for form in (
        "curl/curl",
        "grpcurl/grpcurl",
        "python_client/pythonClient",
        "python_stub/pythonStub",
        "cohere/cohere",
    ):
        module, function = form.split("/")
        shown = (await modules(f"snippets/{module}", function, body, target))["value"]
        assert not set(shown) & set("\u202e\u2066\x9b\u2028\x7f"), form
        assert "👩‍👩‍👧" in shown
        assert "\\u202e" in shown


async def test_code_for_tls(modules: Any) -> None:
    """A page over TLS offers calls over TLS."""
    body = {"query": "q", "documents": ["d"]}
    target = {"base": "https://h/x", "grpc": "h:443", "tls": True, "key": False, "model": "m"}
    assert "https://h/x/v1/rerank" in (await modules("snippets/curl", "curl", body, target))["value"]
    assert (
        'RerankClient("grpcs://h:443")'
        in (await modules("snippets/python_client", "pythonClient", body, target))["value"]
    )
    assert (
        "grpc.ssl_channel_credentials()" in (await modules("snippets/python_stub", "pythonStub", body, target))["value"]
    )
    assert "-plaintext" not in (await modules("snippets/grpcurl", "grpcurl", body, target))["value"]
    assert "'https://a b'" in (await modules("snippets/curl", "curl", body, {**target, "base": "https://a b"}))[
        "value"
    ].replace("/v1/rerank", "")


async def test_text_of_objects_is_that_of_the_server(modules: Any) -> None:
    """Positions count only where the text is the same for sure."""
    cases: list[tuple[Any, str, bool]] = [
        ("a", "a", True),
        ({"t": "a"}, "a", True),
        ({"t": "a", "n": 1, "x": None, "b": True}, "t: a\nn: 1\nb: true", True),
        ({"t": "a", "n": 1.5}, "t: a\nn: 1.5", True),
        ({"t": "a", "n": 1e-5}, "t: a\nn: 0.00001", False),
        ({"t": "a", "n": 1e20}, "t: a\nn: 100000000000000000000", False),
        ({"t": "a", "n": {"b": 1}}, 't: a\nn: {"b":1}', False),
    ]
    for document, text, exact in cases:
        assert (await modules("documents/ranked_text", "rankedText", document))["value"] == {
            "text": text,
            "exact": exact,
        }
