"""`conductor web`: the HTTP API and the page. FastAPI and uvicorn are imported here and nowhere else."""
