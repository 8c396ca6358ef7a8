/* global elements, authority, protection, hostState, alerts */
'use strict';
/*
 * The fleet, once a second. Everything that came from a host is put on the page as text, never as markup. The page is
 * rebuilt only when the facts changed, so that a person can select and copy; ages move by themselves.
 */
(() => {
  const $ = (id) => document.getElementById(id);
  const { make, since, age, badge, plural, command, inTime, clock } = elements;
  const { blockedCard, breakGlassBanner, jobCards, trustParts, auditTimeline, wordOfTheHub } = authority;
  const state = { selected: '', fleet: '', host: '', alerts: '', alertsAt: 0, timer: 0 };

  const looks = {
    ok: ['good', 'ok', 'As desired.'],
    working: ['work', 'working', 'Bringing the host to its desired state.'],
    'needs-attention': ['warn', 'needs attention', 'Something waits for a person; see below.'],
    'no-report': ['warn', 'no report', 'Polls, but no report that this hub can read came yet.'],
    late: ['warn', 'late', 'No contact for longer than usual.'],
    unknown: ['warn', 'not heard yet', 'The hub itself was away; it waits for the next poll of this host.'],
    forked: ['bad', 'forked', 'The host, or whoever has its key, tells two tales.'],
    'stale-hub': ['bad', 'hub is behind', ''],
    silent: ['bad', 'silent', 'No contact for a long time. Guests may well be serving; nobody knows.'],
    'never-seen': [
      'warn',
      'never seen',
      'Added, but its agent has not polled yet. Put the API key into its key file and start it.',
    ],
  };

  function showFleet(answer) {
    const counts = new Map();
    for (const host of answer.hosts) counts.set(host.state, (counts.get(host.state) ?? 0) + 1);
    $('counts').replaceChildren(
      ...[...counts].map(([name, count]) => make('li', {}, badge(looks[name][0], `${count} ${looks[name][1]}`))),
    );
    const cards = answer.hosts.map((host) => {
      const [tone, word] = looks[host.state];
      const trouble = [
        host.sagas > 0 && plural(host.sagas, 'task') + ' running',
        host.parked > 0 && `${host.parked} parked`,
        host.blocked > 0 && `${host.blocked} blocked`,
        host.jobsToSign > 0 && `${plural(host.jobsToSign, 'job')} to sign`,
        host.findings.total > 0 && plural(host.findings.total, 'finding'),
        host.backups.ok < host.backups.lines &&
          `${host.backups.ok} of ${plural(host.backups.lines, 'backup')} fresh and proven`,
        host.backups.unprotectedBulk > 0 && `${plural(host.backups.unprotectedBulk, 'bulk volume')} without a copy`,
        host.hold && 'on hold',
        host.snoozedUntil !== undefined && 'alerts snoozed',
      ].filter(Boolean);
      return make(
        'button',
        {
          type: 'button',
          class: tone,
          'aria-current': String(host.hostId === state.selected),
          on: () => select(host.hostId),
        },
        make('span', { class: 'row' }, make('span', { class: 'name' }, host.hostId), badge(tone, word)),
        make(
          'span',
          { class: 'quiet row' },
          `${host.guests.running} of ${plural(host.guests.total, 'guest')} running`,
          since(host.lastContactAt),
        ),
        trouble.length > 0 ? make('span', { class: 'quiet' }, trouble.join(' · ')) : undefined,
      );
    });
    if (cards.length === 0)
      cards.push(make('div', { class: 'say work' }, 'No hosts yet. Add one:', command('felhom hosts add NAME')));
    $('hosts').replaceChildren(...cards);
  }

  const guestTone = { running: 'good', stopped: '', missing: 'bad', 'coming-up': 'work', unknown: 'warn' };

  function showHost(host) {
    const [tone, word, sentence] = looks[host.state];
    const report = host.report;
    const parts = [
      make('div', { class: 'row' }, make('h2', {}, host.hostId), badge(tone, word)),
      make('div', { class: `say ${tone}` }, sayOf(host, sentence)),
    ];
    if (report !== undefined && report.breakGlass.is !== 'closed') parts.push(breakGlassBanner(report.breakGlass));
    if (host.state === 'stale-hub') parts.push(command(`felhom desired resolve ${host.hostId} --keep agent`));
    parts.push(...forks(host), facts(host, report));
    if (report !== undefined) {
      parts.push(...section('In progress', report.sagas.map(sagaCard)));
      parts.push(...section('Parked: waits for a decision', report.parked.map(parkedCard)));
      parts.push(
        ...section(
          'Blocked: needs a signature',
          report.blocked.map((it) => blockedCard(it, host.hostId)),
        ),
      );
      parts.push(...section('Signed jobs', jobCards(report.jobs, host.hostId)));
      const [undo, ...protectionParts] = protection.sections(report, host.hostId);
      parts.push(...section(...undo));
      parts.push(...section('Findings', [...report.findings].sort(bySeverity).map(findingCard)));
      parts.push(make('h3', {}, 'Guests'), guestTable(report.guests));
      for (const part of protectionParts) parts.push(...section(...part));
      for (const part of hostState.sections(report)) parts.push(...section(...part));
      parts.push(make('h3', {}, 'Whose signatures count'), ...trustParts(report.trust));
      parts.push(...section('Audit log, newest first', auditTimeline(report.audit)));
      const cut = Object.entries(report.cut).filter(([, count]) => count > 0);
      if (cut.length > 0)
        parts.push(
          make(
            'p',
            { class: 'quiet' },
            `Not shown: ${cut.map(([list, count]) => `${count} more ${list === 'audit' ? 'entries of the audit log' : list}`).join(', ')}.`,
          ),
        );
    }
    parts.push(wordOfTheHub(host));
    $('host').replaceChildren(...parts);
  }

  /** What contradicts what, and what clears it once settled. */
  function forks({ hostId, fork, auditFork }) {
    const parts = [];
    if (fork)
      parts.push(
        make('div', { class: 'say bad' }, make('strong', {}, 'Two agents? '), fork.text),
        make(
          'p',
          { class: 'quiet' },
          'Find out which is the true one. A new key makes the old one worthless; then clear it:',
        ),
        command(`felhom hosts rekey ${hostId}`),
        command(`felhom hosts clear-fork ${hostId}`),
      );
    if (auditFork)
      parts.push(
        make('div', { class: 'say bad' }, make('strong', {}, 'Two audit logs? '), auditFork.text),
        make('p', { class: 'quiet' }, 'See which entries, and clear it once it is settled; both tales are kept:'),
        command(`felhom audit verify ${hostId}`),
        command(`felhom hosts clear-audit-fork ${hostId}`),
      );
    return parts;
  }

  function sayOf(host, sentence) {
    if (host.state === 'stale-hub' && host.stale)
      return `The host holds generation ${host.stale.generation}, which this hub does not have. Nothing is served to it until you choose whose copy counts.`;
    if (host.hold) return `${sentence} The host is on hold: nothing is changed there.`;
    return sentence;
  }

  function facts(host, report) {
    const { heartbeat } = host;
    const rows = [
      ['Last heartbeat', since(host.lastContactAt) + (heartbeat?.metered ? ' (metered: it asks seldom)' : '')],
    ];
    if (host.snoozedUntil !== undefined) rows.push(['Alerts', `snoozed until ${inTime(host.snoozedUntil)}`]);
    const held = host.held;
    const wanted = host.desired ? `generation ${host.desired.generation}` : 'none';
    const has =
      held === undefined
        ? ''
        : held.is === 'held'
          ? `, host holds ${held.generation}`
          : `, host holds none (${held.is})`;
    rows.push(['Desired state', wanted + has]);
    if (report) {
      rows.push(['Last pass', since(report.lastPassAt)]);
      rows.push(['Last report', `${since(host.reportAt)}, as it still stands`]);
      rows.push([
        'Versions',
        `agent ${report.versions.agent}, node ${report.versions.node}` +
          (report.versions.proxmox ? `, Proxmox ${report.versions.proxmox}` : ''),
      ]);
      if (report.breakGlass.is === 'closed') rows.push(['Break-glass', 'closed']);
      rows.push(...hostState.facts(report));
    }
    if (heartbeat?.vitals) rows.push(['Vitals', vitalsText(heartbeat.vitals)]);
    const { waiting, taken } = host.mailbox;
    rows.push([
      'Mailbox',
      waiting + taken === 0 ? 'empty' : `${plural(waiting, 'envelope')} waiting, ${taken} taken by the host`,
    ]);
    rows.push([
      'Copy of the audit log',
      `${host.auditCopy.count} ${host.auditCopy.count === 1 ? 'entry' : 'entries'}` +
        (host.auditCopy.full ? '; full, the hub takes no more of this host' : ''),
    ]);
    return make('dl', {}, ...rows.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
  }

  /** Numbers of the last heartbeat; what is not known is not said. */
  function vitalsText({ cpuPercent, load1, memory, rootDisk, hottestC, pressure, targets }) {
    const share = ({ usedBytes, totalBytes }) =>
      `${totalBytes === 0 ? 0 : Math.round((100 * usedBytes) / totalBytes)} %`;
    return [
      ...(cpuPercent === undefined ? [] : [`CPU ${Math.round(cpuPercent)} %`]),
      ...(load1 === undefined ? [] : [`load ${load1.toFixed(1)}`]),
      ...(memory === undefined ? [] : [`memory ${share(memory)}`]),
      ...(rootDisk === undefined ? [] : [`root disk ${share(rootDisk)}`]),
      ...targets.map((target) => `${target.name} ${share(target)}`),
      ...(hottestC === undefined ? [] : [`${Math.round(hottestC)} °C`]),
      ...(pressure === undefined ? [] : [`waiting for IO ${Math.round(pressure.io)} %`]),
    ].join(', ');
  }

  const section = (title, cards) => (cards.length === 0 ? [] : [make('h3', {}, title), ...cards]);

  function sagaCard(saga) {
    const fraction = Math.min(1, (saga.stepIndex + (saga.fraction ?? 0)) / saga.steps);
    const bar = make('progress', { max: '1', 'aria-label': `${saga.name} ${saga.guest ?? ''}` });
    bar.value = fraction;
    return make(
      'article',
      { class: 'work' },
      make(
        'div',
        { class: 'row' },
        make('span', { class: 'name' }, `${saga.name}${saga.guest ? ` ${saga.guest}` : ''}`),
        make('span', { class: 'quiet' }, `${Math.floor(fraction * 100)} %`),
      ),
      bar,
      make(
        'p',
        { class: 'quiet' },
        `${saga.direction === 'back' ? 'undoing ' : ''}step ${Math.min(saga.stepIndex + 1, saga.steps)} of ${saga.steps}: ${saga.step}${saga.text ? `, ${saga.text}` : ''} · began `,
        since(saga.startedAt),
      ),
    );
  }

  const parkedCard = (parked) =>
    make(
      'article',
      { class: 'bad' },
      make(
        'div',
        { class: 'row' },
        make('span', { class: 'name' }, `${parked.name}${parked.guest ? ` ${parked.guest}` : ''} at ${parked.step}`),
        since(parked.since),
      ),
      make('p', {}, parked.why.text),
      parked.why.detail ? make('p', { class: 'quiet' }, parked.why.detail) : undefined,
      command(parked.command),
    );

  const ranks = { critical: 0, warning: 1, info: 2 };
  const bySeverity = (a, b) => ranks[a.severity] - ranks[b.severity] || a.since - b.since;
  const findingCard = (finding) =>
    make(
      'article',
      { class: { critical: 'bad', warning: 'warn', info: 'info' }[finding.severity] },
      make('div', { class: 'row' }, make('span', { class: 'name' }, finding.subject), since(finding.since)),
      make('p', {}, finding.text),
      make('p', { class: 'quiet' }, finding.advice.text),
      finding.advice.command ? command(finding.advice.command) : undefined,
    );

  function guestTable(guests) {
    if (guests.length === 0) return make('p', { class: 'quiet' }, 'None.');
    const head = make(
      'tr',
      {},
      ...['Guest', 'VMID', 'Status', 'Differs', 'Waits for a restart'].map((title) =>
        make('th', { scope: 'col' }, title),
      ),
    );
    const rows = guests.map((guest) =>
      make(
        'tr',
        {},
        make('td', { class: 'name', title: guest.uid }, guest.name),
        make('td', {}, guest.vmid === undefined ? '' : String(guest.vmid)),
        make('td', {}, badge(guestTone[guest.status], guest.status), guest.held ? badge('warn', 'held') : undefined),
        make('td', {}, guest.drift.join(', ')),
        make('td', {}, guest.pending.join(', ')),
      ),
    );
    return make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows)));
  }

  class Refused extends Error {}

  async function ask(path) {
    const response = await fetch(path, {
      headers: { authorization: `Bearer ${sessionStorage.getItem('token')}` },
      cache: 'no-store',
    });
    if (response.status === 401 || response.status === 403) throw new Refused();
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response.json();
  }

  async function refresh() {
    const fleet = await ask('/v1/hosts');
    clock.skewMs = fleet.now - Date.now();
    if (!fleet.hosts.some((host) => host.hostId === state.selected)) state.selected = fleet.hosts[0]?.hostId ?? '';
    const fleetText = JSON.stringify([fleet.hosts, state.selected]);
    if (fleetText !== state.fleet) {
      state.fleet = fleetText;
      showFleet(fleet);
    }
    if (state.selected === '') {
      $('host').hidden = true;
      return;
    }
    const answer = await ask(`/v1/hosts/${encodeURIComponent(state.selected)}`);
    if (answer === undefined) return;
    $('host').hidden = false;
    const hostText = JSON.stringify(answer.host);
    if (hostText !== state.host) {
      state.host = hostText;
      showHost(answer.host);
    }
  }

  /** As often as the watch looks. */
  const alertsEveryMs = 5000;

  async function refreshAlerts() {
    if (Date.now() - state.alertsAt < alertsEveryMs) return;
    const list = await ask('/v1/alerts');
    if (list === undefined) return;
    state.alertsAt = Date.now();
    const stuck = alerts.isStuck(list);
    const text = JSON.stringify([list.open, stuck]);
    if (text === state.alerts) return;
    state.alerts = text;
    const parts = alerts.strip(list, stuck, select);
    $('alerts').replaceChildren(...parts);
    $('alerts').hidden = parts.length === 0;
    document.title = list.open.length === 0 ? 'Felhom' : `(${list.open.length}) Felhom`;
  }

  async function tick() {
    clearTimeout(state.timer);
    if (sessionStorage.getItem('token') === null) return;
    try {
      if (!document.hidden) await refresh();
      await refreshAlerts();
      $('link').textContent = 'live';
      $('login').hidden = true;
      $('fleet').hidden = false;
      $('logout').hidden = false;
    } catch (error) {
      if (error instanceof Refused) {
        logout('The hub does not accept this token.');
        return;
      }
      $('link').textContent = 'the hub does not answer; what you see is old';
    }
    for (const element of document.querySelectorAll('time')) element.textContent = age(Number(element.dataset.at));
    state.timer = setTimeout(tick, 1000);
  }

  function select(hostId) {
    state.selected = hostId;
    history.replaceState(null, '', `#host=${hostId}`);
    void tick();
  }

  function logout(why) {
    clearTimeout(state.timer);
    sessionStorage.removeItem('token');
    state.fleet = state.host = state.alerts = '';
    state.alertsAt = 0;
    document.title = 'Felhom';
    $('alerts').hidden = true;
    $('alerts').replaceChildren();
    $('fleet').hidden = true;
    $('logout').hidden = true;
    $('login').hidden = false;
    $('link').textContent = '';
    $('counts').replaceChildren();
    $('login-error').textContent = why;
    $('token').focus();
  }

  $('login').addEventListener('submit', (event) => {
    event.preventDefault();
    sessionStorage.setItem('token', $('token').value.trim());
    $('token').value = '';
    $('login-error').textContent = '';
    void tick();
  });
  $('logout').addEventListener('click', () => logout(''));
  document.addEventListener('visibilitychange', () => void tick());

  /* A link may carry a token in its fragment, which no server and no log ever sees; it is taken out of the address at once. */
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has('token')) sessionStorage.setItem('token', fragment.get('token'));
  state.selected = fragment.get('host') ?? '';
  if (fragment.has('token'))
    history.replaceState(null, '', state.selected === '' ? location.pathname : `#host=${state.selected}`);
  if (sessionStorage.getItem('token') === null) logout('');
  else void tick();
})();
