"""The book: laid out, rendered and checked from a finished run."""

from hccbook.book.layout import BookError, build_book
