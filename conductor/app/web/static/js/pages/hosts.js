// Hosts: each node with its devices, disks and queues, and why one of them starts nothing.

import { cells, h, head, put, rows } from "../dom.js";
import { ago, many, mib, size } from "../format.js";
import { apart } from "../apart.js";
import { fetched, query } from "../api.js";
import { prose, titled } from "./parts.js";
import { fillStrip, legend, makeStrip } from "../strips.js";

export const title = "Hosts";

const DEVICES = ["Device", ["Used"], ["Ours"], ["Of"], "State"];
const VOLUMES = ["Disk", "Path", ["Free"], ["Removable"], "State"];
const PILOTS = ["Pilot or job", "How it stands"];
const QUEUES = ["Queue", ["Workers"], "Keeps warm", "State"];

const HOURS = [1, 6, 18];
// The log of resources has one note a minute: no use in asking for it with each event.
const HISTORY_MS = 20_000;
const MOST_JOBS = 200;

export function show(main) {
  const words = h("h1");
  const span = Number(new URLSearchParams(location.search).get("hours")) || HOURS[1];
  const choice = h("p", {}, "The last ", HOURS.map((hours) => [h("a", { href: `/hosts?hours=${hours}`, "aria-current": hours === span ? "true" : null }, `${hours} h`), " "]));
  const key = legend();
  const hosts = h("div");
  const differences = h("ul", { class: "todo" });
  const engines = h("div");
  main.append(words, differences, choice, key, hosts, engines);
  let past = { strips: [], jobs: [] };
  let askedAt = -HISTORY_MS;
  let shown = [];
  const draw = () => {
    for (const [i, node] of shown.entries()) drawn(hosts.children[i].querySelector(".strips"), node, past);
  };
  const look = apart(async () => {
    past = await history(span);
    draw();
  });
  return {
    async refresh() {
      const told = await fetched("/api/v1/nodes");
      const { nodes } = told;
      shown = nodes;
      put(words, titled(headline(nodes)));
      put(differences, told.differences.map((difference) => h("li", {}, prose(difference.words))));
      rows(engines, told.engines, (engine) => engine.name, makeEngine, fillEngine);
      choice.hidden = key.hidden = nodes.length === 0;
      rows(hosts, nodes, (node) => node.node, make, fill);
      draw();
      if (nodes.length && performance.now() - askedAt > HISTORY_MS) {
        askedAt = performance.now();
        look();
      }
    },
  };
}

function headline(nodes) {
  if (!nodes.length) return "No host reports: start `conductor node` on each.";
  const closed = nodes.filter((node) => node.obstacles.length || node.devices.some((device) => device.quarantined) || node.volumes.some((volume) => volume.fault)).length;
  return `${many(nodes.length, "host")} report${nodes.length === 1 ? "s" : ""}${closed ? `, ${closed} with something closed` : ""}.`;
}

async function history(hours) {
  const told = await fetched(`/api/v1/nodes/history?hours=${hours}`);
  const { rows: jobs } = await fetched(query("/api/v1/jobs", { q: `state:running,done,dead since:@${Math.floor(told.since)}`, limit: MOST_JOBS }));
  return { ...told, jobs: jobs.filter((row) => row.started_at) };
}

function drawn(element, node, { strips, jobs, since, now }) {
  if (element.told === strips) return;
  element.told = strips;
  const here = (strip) => jobs.filter((row) => row.node === node.node && row.device.split(",").includes(strip.place));
  const mine = strips.filter((strip) => strip.node === node.node);
  rows(element, mine, (strip) => `${strip.place} ${strip.unit}`, makeStrip, (figure, strip) => fillStrip(figure, strip, since, now, here(strip)));
  if (!mine.length) put(element, h("p", { class: "grey" }, "Nothing was noted of the last hours yet: the conductor that leads notes it once a minute."));
}

function make() {
  const table = (labels) => h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...labels), h("tbody")));
  return h("section", {}, h("h2", { class: "name" }), h("p"), h("div", { class: "strips" }), table(DEVICES), table(VOLUMES), table(QUEUES));
}

function fill(section, node) {
  const [name, facts, , devices, volumes, queues] = section.children;
  put(name, node.node);
  const { free = null, total = null } = node.measured.ram ?? {};
  const ram = total === null ? "RAM unknown" : `${mib(free)} of ${mib(total)} RAM free`;
  const closed = node.obstacles.filter((obstacle) => !obstacle.device).map((obstacle) => h("span", { class: "alarm" }, ` ✕ Starts nothing: ${told(obstacle)}.`));
  put(facts, `${node.cpu_count} cores, ${ram}, heard ${ago(node.sent_at)} ago${node.is_draining ? ", draining" : ""}.`, closed);
  table(devices, node.devices, (device) => device.uuid, DEVICES, (device) => deviceCells(device, node));
  table(volumes, node.volumes, (volume) => volume.root, VOLUMES, volumeCells);
  table(queues, node.queues, (queue) => queue.queue, QUEUES, queueCells);
}

function table(element, values, key, labels, cellsOf) {
  element.hidden = values.length === 0;
  rows(element.querySelector("tbody"), values, key, () => h("tr"), (tr, value) => cells(tr, labels, cellsOf(value)));
}

const makeEngine = () => h("section", {}, h("h2", {}), h("p"), h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...PILOTS), h("tbody"))));

function fillEngine(section, engine) {
  const [name, words, pilots] = section.children;
  put(name, `Engine ${engine.name} (${engine.kind})`);
  put(words, engine.is_away ? h("span", { class: "alarm" }, `✕ ${engine.words}`) : engine.words);
  table(pilots, [...engine.pilots, ...engine.jobs], (one) => one.name, PILOTS, (one) => [one.name, one.words]);
}

const told = (obstacle) => (obstacle.figure === obstacle.opens_at ? obstacle.words : `${obstacle.words} (now ${obstacle.figure} ${obstacle.unit}, opens at ${obstacle.opens_at} ${obstacle.unit})`) + `, for ${ago(obstacle.since)}`;

function deviceCells(device, node) {
  const index = `gpu${device.index}`;
  const ours = device.ours ? Object.values(device.ours).reduce((sum, one) => sum + one, 0) : null;
  const closed = node.obstacles.find((obstacle) => obstacle.device === index);
  const state = device.quarantined ? h("span", { class: "alarm" }, `✕ quarantined: ${device.quarantined}`) : closed ? `◌ starts nothing: ${told(closed)}` : "✓ in use";
  const number = { class: "number" };
  return [`${index} ${device.name}`, [mib(device.vram_used_mib), number], [ours === null ? "unknown" : mib(ours), number], [device.vram_total_mib ? mib(device.vram_total_mib) : "unknown", number], state];
}

function volumeCells(volume) {
  const state = volume.fault ? h("span", { class: "alarm" }, `✕ ${volume.fault}`) : volume.opens_at_bytes ? `◌ closed until ${size(volume.opens_at_bytes)} are free` : volume.is_writable ? "✓ writable" : "read only";
  const number = { class: "number" };
  return [volume.root, volume.path, [`${size(volume.free_bytes)} of ${size(volume.total_bytes)}`, number], [volume.removable_bytes ? size(volume.removable_bytes) : "", number], state];
}

function queueCells(queue) {
  return [queue.queue, [String(queue.workers), { class: "number" }], queue.warm.join(", "), queue.dying ? h("span", { class: "alarm" }, `✕ workers die at each start: ${queue.dying}`) : "✓ listens"];
}
