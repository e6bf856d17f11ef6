"""The book: laid out, rendered and checked from a finished run."""

from hccbook.book.checks import (
    BookError,
    check_alternatives,
    check_cautions,
    check_items,
    check_links,
    check_self_contained,
)
from hccbook.book.claims_index import results_page
from hccbook.book.generated_pages import assumptions_page
from hccbook.book.layout import lay_out
from hccbook.book.printed import write_pdf
from hccbook.book.rendering import build_book
