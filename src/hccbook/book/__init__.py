"""The book: laid out, rendered and checked from a finished run."""

from hccbook.book.layout import (
    BookError,
    build_book,
    check_items,
    check_self_contained,
    results_page,
    stage_source,
)
