"""What a page would ask the network for."""

from html.parser import HTMLParser


class _Requests(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith(("data:", "#"))]


def requests_of(html: str) -> list[str]:
    """Addresses that a browser would fetch; none of a page that is one file."""
    requests = _Requests()
    requests.feed(html)
    return requests.found
