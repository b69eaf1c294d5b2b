// Numbers and times as people say them. Instants are epoch seconds by the ledger's clock.

let ahead = 0; // of this machine's clock, in seconds

/** The ledger says that it is `now`. */
export function setNow(now) {
  ahead = now - Date.now() / 1000;
}

export const now = () => Date.now() / 1000 + ahead;

export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} days`;
}

/** «04:10», with the day where it is neither today nor of this night. */
export function clock(at) {
  const there = new Date((at - ahead) * 1000);
  const time = there.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const isNear = Math.abs(at - now()) < 43200;
  if (isNear || there.toDateString() === new Date().toDateString()) return time;
  return `${there.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" })} ${time}`;
}

/** «04:10 · in 2 h 14 min» */
export function moment(at) {
  if (at === null || at === undefined) return "";
  const far = at - now();
  return `${clock(at)} · ${far >= 0 ? `in ${duration(far)}` : `${duration(-far)} ago`}`;
}

export const ago = (at) => (at === null || at === undefined ? "" : duration(now() - at));

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "unknown";
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(value) < 1024) return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}

export const mib = (value) => (value === null || value === undefined ? "unknown" : size(value * 1048576));

export function amount(value, unit) {
  if (value === null || value === undefined) return "";
  if (unit === "MiB") return mib(value);
  if (unit === "bytes") return size(value);
  const digits = Number.isInteger(value) ? 0 : unit === "USD" ? 2 : 1;
  return `${value.toFixed(digits)} ${unit}`.trim();
}

export const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

export const percent = (share) => `${Math.floor(share * 100)} %`;

/** State → [shape, word]: never colour alone. */
export const STATES = {
  waiting: ["○", "waiting"],
  admitted: ["◔", "admitted"],
  running: ["●", "running"],
  done: ["✓", "done"],
  dead: ["✕", "dead"],
  review: ["◇", "in review"],
  cancelled: ["⊘", "cancelled"],
};

export const stateClass = (state) => (state === "dead" ? "alarm" : state === "done" ? "good" : "");
