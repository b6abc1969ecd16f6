"""An HTML page with text and figures."""

import base64
import html

_SCALE = 72  # Pixels per inch.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }}
img {{ max-width: 100%; height: auto }}
figure {{ margin: 1.5rem 0 }}
figcaption {{ color: #555; font-size: 0.9rem }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


class Report:
    """A page and its figures, in a folder.

    Args:
        folder: Path of the folder for `report.html` and each figure as `.png` and `.svg`.
        title: Title of the page.
    """

    def __init__(self, folder, title):
        self.folder = folder
        self._title = title
        self._body = []

    def chapter(self, title, text):
        """Begin a chapter."""
        self._body.append(f"<h2>{html.escape(title)}</h2>")
        self.paragraph(text)

    def paragraph(self, text):
        """Add a paragraph."""
        self._body.append(f"<p>{html.escape(text)}</p>")

    def figure(self, name, figure, caption):
        """Add a matplotlib figure. The caption names the network and what the figure shows."""
        figure.savefig(self.folder / f"{name}.png", dpi=150)
        figure.set_layout_engine("none")  # Keep the layout: computing it takes most of the time.
        figure.savefig(self.folder / f"{name}.svg")
        # One scale for all figures, so that their letters have the same size.
        self._picture(f"{name}.png", caption, f' width="{_SCALE * figure.get_figwidth():.0f}"')

    def animation(self, name, caption):
        """Add a GIF that is already in the folder."""
        self._picture(name, caption)

    def _picture(self, name, caption, width=""):
        path = self.folder / name
        data = base64.b64encode(path.read_bytes()).decode()
        kind, text = path.suffix[1:], html.escape(caption)
        self._body.append(
            f'<figure><img{width} src="data:image/{kind};base64,{data}" alt="{text}">'
            f"<figcaption>{text}</figcaption></figure>"
        )

    def write(self):
        """Write the page."""
        body = "\n".join(self._body)
        page = _PAGE.format(title=html.escape(self._title), body=body)
        (self.folder / "report.html").write_text(page, encoding="utf-8", errors="replace")
