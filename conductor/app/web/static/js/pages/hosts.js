// Hosts: each node with its devices, disks and queues, and why one of them starts nothing.

import { cells, h, head, put, rows } from "../dom.js";
import { ago, mib, size } from "../format.js";
import { fetched } from "../main.js";

export const title = "Hosts";

const DEVICES = ["Device", "Used", "Ours", "Of", "State"];
const VOLUMES = ["Disk", "Path", "Free", "Removable", "State"];
const QUEUES = ["Queue", "Workers", "Keeps warm", "State"];

export function show(main) {
  const words = h("h1");
  const hosts = h("div");
  main.append(words, hosts);
  return {
    async refresh() {
      const { nodes } = await fetched("/api/v1/nodes");
      put(words, nodes.length ? `${nodes.length} host${nodes.length === 1 ? "" : "s"} report.` : "No host reports: start `conductor node` on each.");
      rows(hosts, nodes, (node) => node.node, make, fill);
    },
  };
}

function make() {
  const table = (labels) => h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...labels), h("tbody")));
  return h("section", {}, h("h2"), h("p"), table(DEVICES), table(VOLUMES), table(QUEUES));
}

function fill(section, node) {
  const [name, facts, devices, volumes, queues] = section.children;
  put(name, node.node);
  const ram = node.ram_total_mib === null ? "RAM unknown" : `${mib(node.ram_available_mib)} of ${mib(node.ram_total_mib)} RAM free`;
  const shut = node.obstacles.filter((obstacle) => !obstacle.device).map((obstacle) => h("span", { class: "alarm" }, ` Starts nothing: ${told(obstacle)}.`));
  put(facts, `${node.cpu_count} cores, ${ram}, heard ${ago(node.sent_at)} ago${node.is_draining ? ", draining" : ""}.`, shut);
  table(devices, node.devices, (device) => device.uuid, DEVICES, (device) => deviceCells(device, node));
  table(volumes, node.volumes, (volume) => volume.root, VOLUMES, volumeCells);
  table(queues, node.queues, (queue) => queue.queue, QUEUES, queueCells);
}

function table(element, values, key, labels, cellsOf) {
  element.hidden = values.length === 0;
  rows(element.querySelector("tbody"), values, key, () => h("tr"), (tr, value) => cells(tr, labels, cellsOf(value)));
}

const told = (obstacle) => `${obstacle.words} (now ${obstacle.figure} ${obstacle.unit}, opens at ${obstacle.opens_at} ${obstacle.unit}), for ${ago(obstacle.since)}`;

function deviceCells(device, node) {
  const index = `gpu${device.index}`;
  const ours = device.ours ? Object.values(device.ours).reduce((sum, one) => sum + one, 0) : null;
  const shut = node.obstacles.find((obstacle) => obstacle.device === index);
  const state = device.quarantined ? `✕ not used: ${device.quarantined}` : shut ? `◌ starts nothing: ${told(shut)}` : "✓ in use";
  const number = { class: "number" };
  return [`${index} ${device.name}`, [mib(device.vram_used_mib), number], [ours === null ? "unknown" : mib(ours), number], [device.vram_total_mib ? mib(device.vram_total_mib) : "unknown", number], state];
}

function volumeCells(volume) {
  const state = volume.fault ? `✕ ${volume.fault}` : volume.opens_at_bytes ? `◌ shut until ${size(volume.opens_at_bytes)} are free` : volume.is_writable ? "✓ writable" : "read only";
  const number = { class: "number" };
  return [volume.root, volume.path, [`${size(volume.free_bytes)} of ${size(volume.total_bytes)}`, number], [volume.removable_bytes ? size(volume.removable_bytes) : "", number], state];
}

function queueCells(queue) {
  return [queue.queue, [String(queue.workers), { class: "number" }], queue.warm.join(", "), queue.dying ? h("span", { class: "alarm" }, `✕ workers die at each start: ${queue.dying}`) : "✓ listens"];
}
