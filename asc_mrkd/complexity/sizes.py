"""Sizes in words."""


def format_bytes(size: int) -> str:
    """Write a size as the organisers' calculator does: units of 1024, four digits.

    >>> format_bytes(485184), format_bytes(512000), format_bytes(1000)
    ('485,184 bytes (473.8 KB)', '512,000 bytes (500 KB)', '1,000 bytes')
    """
    return f"{size:,} bytes" if abs(size) < 1024 else f"{size:,} bytes ({short_bytes(size)})"


def short_bytes(size: int) -> str:
    """Write a size in its largest unit of 1024.

    >>> short_bytes(35040), short_bytes(14201856), short_bytes(96)
    ('34.22 KB', '13.54 MB', '96 bytes')
    """
    if abs(size) < 1024:
        return f"{size} bytes"
    return f"{size / 1024:.4g} KB" if abs(size) < 1024**2 else f"{size / 1024**2:.4g} MB"


def shorten(text: str, width: int) -> str:
    """Cut the middle out of `text` so that it fits `width` characters.

    >>> shorten("stages.0.blocks.1.conv1.conv", 16)
    'stages.0…v1.conv'
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"
