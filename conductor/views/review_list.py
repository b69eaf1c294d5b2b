"""What waits for a person's verdict: jobs by a filter, each with what it shows and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from conductor.base.text import many
from conductor.model.job_filter import JobFilter
from conductor.model.job_row import JobRow
from conductor.model.review import ItemVerdict, OpenReview, Rejection, ReviewItem
from conductor.model.spec import Value
from conductor.model.subject import named
from conductor.ports import Ledger
from conductor.views.job_list import JobList


class ShownItem(Value, frozen=True, kw_only=True):
    """One thing to be judged; `number`: from 1. `verdict`: it has one already."""

    number: int
    item: ReviewItem
    verdict: ItemVerdict | None = None


class ReviewRow(Value, frozen=True, kw_only=True):
    """A job that waits for a verdict. Words and names are strangers' text. `since`: epoch seconds."""

    job_id: str
    body: str
    task: str
    workflow: str = ""
    backlog: str = ""
    #: The name of the file that it is about; empty: it names none.
    file: str = ""
    since: float | None = None
    rejected: Rejection = "dies"
    is_canary: bool = False
    items: tuple[ShownItem, ...] = ()
    #: So many items are open.
    left: int = 0
    #: So many jobs wait for the verdict.
    behind: int = 0

    @property
    def subject(self) -> str:
        return named(self.task, self.file)


class ReviewPage(Value, frozen=True, kw_only=True):
    """`cursor`: where the next page begins; empty: this was the last."""

    rows: tuple[ReviewRow, ...] = ()
    cursor: str = ""
    #: So many jobs wait for a verdict in all, whatever the filter.
    count: int = 0
    notes: tuple[str, ...] = ()


def review_page(jobs: JobList, ledger: Ledger, wanted: JobFilter, limit: int, cursor: str) -> ReviewPage:
    """`wanted`: its states do not matter. Raises `Unreachable`, `UsageError` for a cursor that is none."""
    page = jobs.full_page(replace(wanted, states=("review",)), limit, cursor)
    asked = {review.job_id: review for review in ledger.reviews.asked([row.job_id for row in page.rows])}
    aside = sum(ledger.kinds.in_review().values())
    notes = page.notes
    if aside:
        notes += (
            f"{many(aside, 'job')} more in review were set aside with their kind, and show nothing: "
            "`conductor status` says why, `conductor retry --cause review` sends them back",
        )
    rows = tuple(row_of(row, asked[row.job_id]) for row in page.rows if row.job_id in asked)
    return ReviewPage(rows=rows, cursor=page.cursor, count=len(ledger.reviews.shown()), notes=notes)


def row_of(row: JobRow, review: OpenReview) -> ReviewRow:
    said = {verdict.item: verdict for verdict in review.verdicts}
    items = enumerate(review.asked.items, 1)
    return ReviewRow(
        job_id=row.job_id,
        body=review.body,
        task=row.task,
        workflow=row.workflow,
        backlog=row.backlog,
        file=row.file,
        since=row.ended_at,
        rejected=review.asked.rejected,
        is_canary=review.asked.is_canary,
        items=tuple(ShownItem(number=n, item=item, verdict=said.get(n)) for n, item in items),
        left=len(review.open_items),
        behind=review.behind,
    )


def lines(page: ReviewPage) -> Iterator[str]:
    """What `conductor review` prints."""
    for row in page.rows:
        wait = "waits" if row.behind == 1 else "wait"
        behind = f"; {many(row.behind, 'job')} {wait} for it" if row.behind else ""
        canary = "; one of the first of its kind, the rest waits" if row.is_canary else ""
        yield f"{row.job_id}  {row.subject}: {many(row.left, 'item')} to look at{behind}{canary}"
        yield from (_item_line(shown) for shown in row.items)
    if not page.rows:
        yield "nothing waits for a verdict" + (" that fits the filter" if page.count else "")
        return
    yield ""
    yield f"{many(page.count, 'job')} to look at. Say: conductor review accept JOB [--item N], or reject JOB"
    if page.cursor:
        yield f"go on: conductor review list --cursor {page.cursor}"


def _item_line(shown: ShownItem) -> str:
    item = shown.item
    sure = f", {item.sure:.0%} sure" if item.sure is not None else ""
    at = f" at {clock(item.at_s)}" if item.at_s is not None else ""
    files = "".join(f"  {path}" for path in (item.picture, item.clip) if path)
    verdict = shown.verdict
    said = f"  ({'accepted' if verdict.is_accepted else 'rejected'} by {verdict.who})" if verdict else ""
    return f"  {shown.number}. {item.words}{at}{sure}{files}{said}"


def clock(seconds: float) -> str:
    """Of a film: «1:02:07», «2:07.5»."""
    whole, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(whole), 60)
    text = f"{rest:04.1f}".removesuffix(".0")
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"
