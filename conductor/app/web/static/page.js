// The page's first step: the health of the project, anew every two seconds while somebody looks.

const EVERY_MS = 2000;

async function look() {
  if (document.hidden) return;
  const state = document.getElementById("state");
  try {
    const health = await (await fetch("/api/v1/health")).json();
    state.textContent = health.state;
    document.getElementById("parts").replaceChildren(
      ...health.parts.map((part) => {
        const row = document.createElement("li");
        row.textContent = `${part.name}: ${part.state}: ${part.words}`;
        return row;
      }),
    );
  } catch {
    state.textContent = "the server does not answer";
  }
}

await look();
setInterval(look, EVERY_MS);
