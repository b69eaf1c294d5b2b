"""ExposedFigures for Prometheus."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from conductor.app.web.rights import looks
from conductor.app.web.routes.overview import looked
from conductor.views.metrics import ExposedFigures, exposed

#: Who asks more often gets the same again.
CACHED_S = 1.0

router = APIRouter()


class MetricsPage:
    """The last text, and when it was made (monotonic seconds)."""

    def __init__(self) -> None:
        self.figures = ExposedFigures()
        self.text = b""
        self.made_at = float("-inf")


@router.get(
    "/metrics",
    dependencies=[Depends(looks)],
    responses={
        200: {"description": "Text format 0.0.4", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def metrics(request: Request) -> Response:
    """The figures of the last look, and what ended since this process began."""
    page: MetricsPage = request.app.state.metrics
    if time.monotonic() - page.made_at >= CACHED_S:
        look, _ = await looked(request)
        page.figures.see(look.status, look.gates, look.forecasts, look.alerts)
        page.text, page.made_at = exposed(page.figures), time.monotonic()
    return Response(page.text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
