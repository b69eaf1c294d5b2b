// Live: one EventSource for all tabs of a browser. HTTP/1.1 has six connections a host, so that a few tabs with a
// stream each would freeze the page. The tab that holds the lock listens and tells the others; when it is closed the
// browser hands the lock to another. Without these means, or without a stream, the page asks by itself.

const PATH = "/api/v1/events";
const POLL_MS = 5000;
const TRIES = 3;

const listeners = new Set();
const channel = "BroadcastChannel" in window ? new BroadcastChannel("conductor.events") : null;
let state = "polling";
let timer = null;

/** `heard(event)` for each event, {type, id, data}; {type: "poll"} where there is no stream. Answers with a stop. */
export function listen(heard) {
  listeners.add(heard);
  return () => listeners.delete(heard);
}

export const liveState = () => state;

function tell(event) {
  for (const heard of listeners) heard(event);
}

function become(next) {
  state = next;
  tell({ type: "state", data: next });
  clearInterval(timer);
  // A hidden tab asks nothing; it looks once when it is seen again. With a stream, too, it is asked now and then: of a
  // conductor that was killed nobody tells.
  timer = setInterval(() => document.hidden || tell({ type: "poll" }), POLL_MS);
}

function stream() {
  return new Promise((ended) => {
    let failures = 0;
    const source = new EventSource(PATH);
    const pass = (message) => {
      const event = { type: message.type, id: message.lastEventId, data: message.data };
      channel?.postMessage(event);
      tell(event);
    };
    source.onopen = () => {
      failures = 0;
      become("live");
      channel?.postMessage({ type: "state", data: "live" });
    };
    source.onmessage = pass;
    source.addEventListener("reset", pass);
    source.onerror = () => {
      become("polling");
      channel?.postMessage({ type: "state", data: "polling" });
      failures += 1;
      if (failures < TRIES && source.readyState !== EventSource.CLOSED) return;
      source.close();
      setTimeout(ended, POLL_MS);
    };
  });
}

async function lead() {
  // A tab that is opened later asks whether anybody listens for it.
  channel?.addEventListener("message", ({ data }) => {
    if (data.type === "hello") channel.postMessage({ type: "state", data: state });
  });
  for (;;) await stream();
}

export function start() {
  become("polling");
  channel?.addEventListener("message", ({ data }) => {
    if (data.type === "state") become(data.data);
    else if (data.type !== "hello") tell(data);
  });
  channel?.postMessage({ type: "hello" });
  document.addEventListener("visibilitychange", () => document.hidden || tell({ type: "poll" }));
  if (!("EventSource" in window)) return;
  if (channel && navigator.locks) navigator.locks.request("conductor.events", lead);
  else lead();
}
