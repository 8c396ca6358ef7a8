/* global elements */
'use strict';
/* Tunnel, storage targets and disks of one host. Whatever a host says is put as text. */
// oxlint-disable-next-line no-unused-vars -- page.js uses it
const hostState = (() => {
  const { make, since, badge } = elements;

  const tunnels = {
    up: ['good', 'up'],
    down: ['bad', 'down'],
    'no-internet': ['bad', 'the host has no internet'],
    unknown: ['warn', 'not known'],
  };
  const targets = {
    disconnected: ['bad', 'disconnected'],
    attached: ['good', 'attached'],
    decommissioned: ['quiet', 'decommissioned'],
  };
  const disks = { failed: ['bad', 'fails'], passed: ['good', 'good'], unknown: ['quiet', 'not told'] };

  function table(titles, rows) {
    const head = make('tr', {}, ...titles.map((title) => make('th', { scope: 'col' }, title)));
    return make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows)));
  }
  const row = (...cells) => make('tr', {}, ...cells.map((cell) => make('td', {}, cell)));

  /** Rows for the facts of a host; none where it has no tunnel. */
  function facts({ tunnel }) {
    if (tunnel.is === 'none') return [];
    const parts = [badge(...tunnels[tunnel.is])];
    if (tunnel.since !== undefined) parts.push(' since ', since(tunnel.since));
    if (tunnel.why) parts.push(make('span', { class: 'quiet' }, ` ${tunnel.why}`));
    return [['Tunnel', make('span', {}, ...parts)]];
  }

  function targetRow({ name, type, role, class: speed, iops, state, since: at, flapping, why, identity }) {
    const word = make('span', { title: identity }, badge(...targets[state]), ' since ', since(at));
    if (flapping) word.append(' ', badge('warn', 'comes and goes'));
    const pace = iops === undefined ? speed : `${speed}, ${iops} reads/s`;
    return row(name, type, role, pace, word, why);
  }

  function diskRow({ device, model, serial, health, wornPercent }) {
    return row(
      device,
      model,
      serial,
      badge(...disks[health]),
      wornPercent === undefined ? '' : `${Math.round(wornPercent)} %`,
    );
  }

  function sections(report) {
    return [
      [
        'Storage targets',
        report.targets.length === 0
          ? []
          : [table(['Target', 'Type', 'For', 'Pace', 'State', 'Why'], report.targets.map(targetRow))],
      ],
      [
        'Disks',
        report.disks.length === 0
          ? []
          : [table(['Disk', 'Model', 'Serial', 'By its own word', 'Worn'], report.disks.map(diskRow))],
      ],
    ];
  }

  return { facts, sections };
})();
