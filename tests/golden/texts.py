"""Texts of the golden files: invented, and as varied as the texts that a reranker receives."""
# ruff: noqa: RUF001  (similar letters are intended)

from golden.cases import Group, Repeated, Text, expand


def _times(text: str, times: int) -> Repeated:
    return {"repeat": text, "times": times}


ENGLISH = Group(
    "english",
    [
        "how do i reset my password",
        "What is the boiling point of water at high altitude?",
        "bread",
        "Which documents must a tenant sign before moving in, and by when?",
    ],
    [
        "To reset your password, open the sign-in page, choose “Forgot password” and follow the link in the mail.",
        "Water boils at about 93 °C at 2,000 metres, because the air presses on it less than at sea level.",
        "Mix flour, water, salt and yeast; let the dough rest overnight, and bake it at 230 °C for forty minutes.",
        "Before the keys are handed over, the tenant signs the lease and the record of the flat's condition.",
        "PASSWORDS EXPIRE AFTER 90 DAYS!!! CONTACT YOUR ADMINISTRATOR.",
        "ok",
        "The mountains were white in the morning, and nobody spoke until the kettle sang.",
        (
            "A rental agreement names the parties, the rent, the deposit and the day on which the tenancy begins. It "
            "is signed twice, once for each side. The landlord hands over a record of the rooms, which the tenant "
            "checks within fourteen days. Whoever signs for a company brings its mandate."
        ),
        "no",
        "Water. Bread. Password. Tenant.",
    ],
)

LANGUAGES = Group(
    "languages",
    [
        "Wie setze ich mein Passwort zurück?",
        "Quelle est la capitale de l’Australie ?",
        "¿Cuánto dura el vuelo de Madrid a Lima?",
        "Когда зацветает сирень?",
        "如何申请退税？",
        "明日の天気はどうですか",
        "ما هي أعراض الإنفلونزا؟",
        "दिल्ली से आगरा कितनी दूर है?",
    ],
    [
        (
            "Auf der Anmeldeseite „Passwort vergessen“ wählen; der Link in der E-Mail gilt für zwölf Stunden. "
            "Größe und Straße bleiben, wie sie sind."
        ),
        "Сирень цветёт в мае; в тёплые годы — уже в конце апреля.",
        "申请退税需要护照、发票和登机牌；明日は晴れ、ときどき曇りでしょう。",
        "تسبب الإنفلونزا الحمى والسعال والصداع. आगरा दिल्ली से लगभग 230 किलोमीटर दूर है।",
        "Canberra, and not Sydney, is the capital of Australia; the flight from Madrid to Lima takes twelve hours.",
    ],
)

EMOJI = Group(
    "emoji",
    ["🚀 launch window for mars", "recipe with 🍅 and 🧀?"],
    [
        "A launch window to Mars opens every 26 months 🪐🚀.",
        "🍕 = 🍅 + 🧀 + 🔥",
        "👩‍👩‍👧‍👦 family dinner",
        "👍🏽👍🏿 well done",
        "🇯🇵🇧🇷🇿🇦",
        "1️⃣ tomatoes 2️⃣ cheese 3️⃣ basil",
        "❤️ ❤",
        _times("🚀", 40),
    ],
)

ODD = Group(
    "odd",
    ["what is a café", "a\tquery\nof two lines"],
    [
        "",
        " ",
        "\t\r\n  \n",
        "\u00a0\u2003\u3000",
        "\x00",
        "nul\x00in\x01the\x1fmiddle",
        "\x1b[31mred\x1b[0m bell\x07 delete\x7f",
        "next\x85line \u2028 line separator \u2029 paragraph separator",
        "\ufeffbyte order mark",
        "zero\u200bwidth\u200cspaces\u200djoined\u2060",
        "soft\u00adhyphen",
        "\u202eright to left override\u202c",
        "caf\u00e9 is one letter",
        "cafe\u0301 is two",
        "Z̸̧̛͎a̵̡l̷̨g̶͜o̴͝",
        "ＦＵＬＬ　ＷＩＤＴＨ　１２３",
        "𝕞𝕒𝕥𝕙 𝐛𝐨𝐥𝐝 ℌ ½ ² ﬁ",
        "раypal with a Cyrillic р",
        "İstanbul IJssel straße ǅ ς Σ",
        "\ufffd replaced",
        "\ue000 private use, \U000e0041 tag, \U0010ffff last",
        "a [SEP] b [CLS] c [PAD] d [MASK] e [UNK]",
        "....,,,,;;;;----____!!!!????",
        _times("a", 300),
    ],
)

CODE = Group(
    "code and numbers",
    ["python read a file line by line", "1,234.56 EUR", "https://example.org/a?b=c#d"],
    [
        "with open(path, encoding='utf-8') as file:\n    for line in file:\n        print(line.rstrip())\n",
        "SELECT name, count(*) FROM users WHERE id >= 10 GROUP BY name; -- 3 rows",
        "Total: 1.234,56 € (1234.56 EUR), VAT 19 %, due 2031-02-28T23:59:60Z",
        "3.14159265358979323846264338327950288419716939937510",
        "0xDEADBEEF 0b1010 1e-10 -0 +1 ١٢٣ 一二三 ⅷ",
        '{"url": "https://example.org/a?b=c&d=%20", "ip": "2001:db8::1", "ok": [true, null]}',
    ],
)

LONG = Group(
    "long",
    ["capital of france", "france"],
    [
        # the window holds 512 tokens, 4 of them special: the last that fits the first query has 505, the second 507
        *(_times("word ", times) for times in range(504, 509)),
        _times("The capital of France is Paris; the river is the Seine. ", 180),
        _times("巴黎是法国的首都。", 1_112),
        _times("x", 10_000),
        _times(" ", 10_000),
        _times("Päris, la vïlle-lumière! 🗼\n", 385),
    ],
)

QUERY_LENGTHS = Group(
    "query lengths",
    ["?", *(_times("capital ", times) for times in (16, 128, 400, 506, 507))],
    ["Paris is the capital of France.", "", _times("word ", 600)],
)

GROUPS = [ENGLISH, LANGUAGES, EMOJI, ODD, CODE, LONG, QUERY_LENGTHS]


def token_texts() -> list[str]:
    """All texts above that are written out, and one long one."""
    texts: list[Text] = [text for group in GROUPS for text in (*group.queries, *group.documents)]
    return [*dict.fromkeys(text for text in texts if isinstance(text, str)), expand(EMOJI.documents[-1])]
