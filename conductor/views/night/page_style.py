"""How a report looks: light and dark by the system, on paper too. In the file itself, and named by its hash
in the file's policy, so that no other style acts there.
"""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: light-dark(#fdfdfc, #16181c); --raised: light-dark(#f3f3f0, #1f2227);
  --line: light-dark(#d9d9d3, #363a42); --ink: light-dark(#1b1c1e, #e8e9eb);
  --grey: light-dark(#5d6067, #a0a5ae); --act: light-dark(#b3261e, #ff9d94);
  --good: light-dark(#216e39, #7fd09a); --bar: light-dark(#1d5bc4, #86b1ff);
}
* { box-sizing: border-box; }
html { font: 15px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink); }
body { margin: 0 auto; padding: 0 16px 48px; max-width: 1200px; }
h1 { font-size: 24px; line-height: 32px; font-weight: 600; margin: 24px 0 8px; text-wrap: pretty; }
h2 {
  font-size: 13px; line-height: 20px; font-weight: 600; margin: 32px 0 4px; color: var(--grey);
  letter-spacing: .04em; text-transform: uppercase;
}
p { margin: 0 0 8px; }
h1, p, td, dd, figcaption { overflow-wrap: anywhere; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 13px; overflow-wrap: anywhere; }
.grey { color: var(--grey); }
.act { color: var(--act); }
.good { color: var(--good); }
.answers {
  display: grid; grid-template-columns: max-content 1fr; gap: 8px 24px; margin: 16px 0; padding: 16px;
  background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
}
dt { font-weight: 600; }
dd { margin: 0; }
dd ul { margin: 4px 0 0; padding: 0; list-style: none; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 12px; }
figure { margin: 0; break-inside: avoid; }
img { width: 100%; height: auto; border-radius: 4px; background: var(--raised); display: block; }
figcaption { font-size: 13px; color: var(--grey); }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; }
th, td {
  text-align: left; vertical-align: top; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line);
}
td[data-label="Task"], td[data-label="Cause"] { overflow-wrap: normal; }
th { font-size: 13px; font-weight: 500; color: var(--grey); white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg {
  width: 240px; height: 20px; display: block;
  background: var(--raised); border-bottom: 1px solid var(--line);
}
rect { fill: var(--bar); }
@media (max-width: 720px) {
  .answers { grid-template-columns: 1fr; gap: 0; padding: 8px 12px; }
  dd { margin-bottom: 12px; }
  thead { position: absolute; left: -9999px; }
  tr { display: block; border-bottom: 1px solid var(--line); padding: 4px 0; }
  td, td.number { display: block; border: 0; padding: 0; text-align: left; white-space: normal; }
  td[data-label]:not(:empty)::before { content: attr(data-label) " "; color: var(--grey); font-size: 13px; }
}
@media print {
  :root { color-scheme: light; }
  html { font-size: 11px; }
  body { max-width: none; padding: 0; }
  tr, dt, dd { break-inside: avoid; }
  h2 { break-after: avoid; }
  rect, svg { print-color-adjust: exact; }
}
"""
