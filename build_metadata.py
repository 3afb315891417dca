"""Write the package's metadata, with a README whose links work outside the repository.

An index shows the README alone, so a link such as docs/weights.md leads nowhere there. The
description gets the address of the same file at the tag of this version, under the address
`Repository` of [project.urls] in pyproject.toml. README.md itself keeps its short links.
"""

import re

from setuptools.command.egg_info import egg_info

# The end of a link, or a whole picture, whose target is neither an address nor on the same page.
LINK = re.compile(r"(!\[[^\[\]]*)?\]\((?![a-z]+:|#)([^)\s]+)\)", re.IGNORECASE)
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def absolute_links(text: str, repository: str, tag: str) -> str:
    """Give relative links and pictures of a Markdown text their address in a repository.

    Parameters
    ----------
    text : str
        Blocks of code in it stay as they are.
    repository : str
        Its address on a forge that shows a file under /blob/ and gives it under /raw/.
    tag : str
        The state of the repository to show.

    Returns
    -------
    str
    """

    def address(match: re.Match[str]) -> str:
        picture, target = match.groups()
        kind = "raw" if picture else "blob"
        return f"{picture or ''}]({repository}/{kind}/{tag}/{target})"

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(address, part) for part in parts[::2]]
    return "".join(parts)


class WriteMetadata(egg_info):
    """Write the metadata of the package."""

    def run(self) -> None:
        """Change the description first."""
        metadata = self.distribution.metadata
        repository = metadata.project_urls["Repository"].rstrip("/")
        metadata.long_description = absolute_links(
            metadata.long_description, repository, f"v{metadata.version}"
        )
        super().run()
