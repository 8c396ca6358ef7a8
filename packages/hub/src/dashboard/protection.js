/* global elements */
'use strict';
/* Backups, restore-tests, undo windows and the queue of one host. Numbers and words; whatever a host says is put as text. */
// oxlint-disable-next-line no-unused-vars -- page.js uses it
const protection = (() => {
  const { make, since, badge, plural, command, list, inTime, clock } = elements;

  const looks = {
    failing: ['bad', 'failing'],
    none: ['bad', 'no copy'],
    late: ['warn', 'late'],
    unproven: ['warn', 'unproven'],
    ok: ['good', 'ok'],
  };
  const order = Object.keys(looks);
  const byUrgency = (a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.guest.localeCompare(b.guest);
  const nowOfHub = () => Date.now() + clock.skewMs;

  function span(ms) {
    const seconds = Math.round(ms / 1000);
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  }

  function size(bytes) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    const at = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
    return `${(bytes / 1024 ** at).toFixed(at === 0 ? 0 : 1)} ${units[at]}`;
  }

  /** Nothing where nothing is the matter. */
  function summary({ backups, bulk }) {
    const count = (state) => backups.filter((line) => line.state === state).length;
    const bare = bulk.filter(isBare).length;
    return [
      ...order
        .filter((state) => state !== 'ok' && count(state) > 0)
        .map((state) => `${count(state)} ${looks[state][1]}`),
      ...(bare > 0 ? [`${plural(bare, 'bulk volume')} without any`] : []),
    ];
  }
  const isBare = (line) =>
    line.decision === 'undecided' || (line.decision === 'controller' && line.newestAt === undefined);

  /** How old the newest copy is beside the newest proven one, both on the scale of the oldest that is shown. */
  function bar(at, oldest, tone) {
    if (at === undefined) return undefined;
    const meter = make('meter', { min: '0', max: String(Math.max(1, nowOfHub() - oldest)), class: tone });
    meter.value = Math.max(0, nowOfHub() - at);
    return meter;
  }

  function copyCell(at, oldest, tone, more) {
    if (at === undefined) return make('td', {}, badge('bad', 'none'));
    return make(
      'td',
      { title: inTime(at) },
      since(at),
      more ? badge('warn', more) : undefined,
      make('br', {}),
      bar(at, oldest, tone),
    );
  }

  function table(titles, rows) {
    const head = make('tr', {}, ...titles.map((title) => make('th', { scope: 'col' }, title)));
    return make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows)));
  }

  function backupTable(backups) {
    const ages = backups.flatMap(({ newest, proven }) => [newest?.at, proven?.at]).filter((at) => at !== undefined);
    const oldest = Math.min(nowOfHub(), ...ages);
    const rows = [...backups].sort(byUrgency).map((line) => {
      const [tone, word] = looks[line.state];
      const why = [line.lastFailure, ...line.risks.map((risk) => `A restore would fail: ${risk}`)].filter(Boolean);
      return make(
        'tr',
        {},
        make('td', { class: 'name', title: line.uid }, line.guest),
        make('td', { title: `target ${line.target}` }, line.tier),
        make('td', {}, badge(tone, word), why.length > 0 ? list(why) : undefined),
        copyCell(line.newest?.at, oldest, tone, line.newest?.consistency === 'crash' ? 'crash' : undefined),
        copyCell(line.proven?.at, oldest, tone),
        make('td', {}, line.rtoMs === undefined ? 'not measured' : span(line.rtoMs)),
        make('td', {}, line.nextAt === undefined ? '' : line.nextAt <= nowOfHub() ? 'due' : inTime(line.nextAt)),
        make('td', {}, String(line.copies)),
      );
    });
    return table(
      ['Guest', 'Tier', 'State', 'Newest copy', 'Newest proven copy', 'Restore takes', 'Next', 'Kept'],
      rows,
    );
  }

  function bulkCard(line) {
    const name = `${line.guest}/${line.volume}`;
    if (line.decision === 'none-acknowledged')
      return make(
        'article',
        { class: 'info' },
        make('span', { class: 'name' }, name),
        ' is backed up by nobody, and that was accepted.',
      );
    if (line.decision === 'undecided')
      return make(
        'article',
        { class: 'bad' },
        make('span', { class: 'name' }, name),
        ' is backed up by nobody, and nobody decided that. Give it an ownBackup in desired state.',
      );
    if (line.newestAt === undefined)
      return make(
        'article',
        { class: 'bad' },
        make('span', { class: 'name' }, name),
        ` has no copy yet: its controller made none to ${line.target}.`,
      );
    return make(
      'article',
      { class: line.checkedAt === undefined ? 'warn' : 'info' },
      make('span', { class: 'name' }, name),
      ` copied by its controller to ${line.target} `,
      since(line.newestAt),
      line.checkedAt === undefined ? ', never checked by the host.' : ', checked ',
      line.checkedAt === undefined ? undefined : since(line.checkedAt),
    );
  }

  const verdicts = { passed: 'good', failed: 'bad', unproven: 'warn', skipped: '' };
  const parts = ['check', 'restore', 'boot', 'healthy', 'content'];

  function testRow({ evidence, digest }) {
    const { name, tier, verdict, grade, endedAt, backup, text, code, timings, content } = evidence;
    const times = parts
      .filter((part) => timings[`${part}Ms`] !== undefined)
      .map((part) => `${part} ${span(timings[`${part}Ms`])}`);
    return make(
      'tr',
      {},
      make('td', { class: 'name', title: evidence.guest }, name),
      make('td', {}, tier),
      make('td', {}, badge(verdicts[verdict], verdict)),
      make('td', {}, grade),
      make('td', {}, since(endedAt)),
      make('td', { title: backup.archive }, since(backup.takenAt)),
      make('td', {}, times.join(', ')),
      make(
        'td',
        {},
        [text, code ? `(${code})` : ''].filter(Boolean).join(' '),
        content === undefined ? undefined : ` ${plural(content.files, 'file')} compared, ${content.mismatches} differ`,
        make('div', { class: 'quiet' }, `evidence ${digest.slice(0, 12)}`),
      ),
    );
  }

  function undoCard(restore, hostId) {
    return make(
      'article',
      { class: 'warn' },
      make(
        'div',
        { class: 'row' },
        make('span', { class: 'name' }, `${restore.guest}: ${restore.kind}`),
        make('span', { class: 'quiet' }, since(restore.at)),
      ),
      make('p', {}, restore.text),
      restore.until === undefined ? undefined : make('p', {}, `It can be undone until ${inTime(restore.until)}.`),
      restore.lossSet?.length > 0
        ? make(
            'details',
            {},
            make('summary', {}, `What finishing frees: ${plural(restore.lossSet.length, 'volume')}`),
            list(restore.lossSet),
          )
        : undefined,
      make('p', { class: 'quiet' }, 'To have the guest as it was before back; what was written since is lost:'),
      command(`felhom job undo ${hostId} ${restore.id}`),
      make('p', { class: 'quiet' }, 'To free its room now; there is no undo after that:'),
      command(`felhom job finish ${hostId} ${restore.id}`),
    );
  }

  const queueRow = (work) =>
    make(
      'tr',
      {},
      make('td', { class: 'name' }, work.what),
      make('td', {}, work.guest ?? ''),
      make('td', {}, since(work.since)),
      make('td', {}, work.waitsFor.length === 0 ? badge('work', 'runs') : `waits for ${work.waitsFor.join(', ')}`),
    );

  function say({ backups, bulk }) {
    const trouble = summary({ backups, bulk });
    if (backups.length === 0)
      return make('div', { class: 'say warn' }, 'No guest of this host is on any tier of backups.');
    return trouble.length === 0
      ? make(
          'div',
          { class: 'say good' },
          `${backups.length} of ${backups.length} good: the newest copy is fresh, and one was proven in time.`,
        )
      : make('div', { class: 'say warn' }, trouble.join(' · '));
  }

  /** Titles and parts, in the order of the page. */
  function sections(report, hostId) {
    const { backups, bulk, restoreTests, restores, queue, guests } = report;
    const open = restores.filter(({ state }) => state === 'undoable');
    const newestFirst = [...restoreTests].sort((a, b) => b.evidence.endedAt - a.evidence.endedAt);
    const copies = report.copies.reduce((sum, copy) => sum + copy.sizeBytes, 0);
    return [
      ['Restores that can be undone', open.map((restore) => undoCard(restore, hostId))],
      [
        'Backups',
        guests.length + backups.length === 0
          ? []
          : [
              say(report),
              ...(backups.length === 0 ? [] : [backupTable(backups)]),
              ...(report.copies.length === 0
                ? []
                : [
                    make(
                      'p',
                      { class: 'quiet' },
                      `${report.copies.length} copies told of, ${size(copies)} altogether. Each of them, as a job names it:`,
                    ),
                    command(`felhom backups ${hostId}`),
                  ]),
            ],
      ],
      ['Bulk volumes: no backup of the host holds them', bulk.map(bulkCard)],
      [
        'Restore-tests, newest first',
        newestFirst.length === 0
          ? []
          : [
              table(
                ['Guest', 'Tier', 'Verdict', 'How far', 'When', 'Copy taken', 'Took', 'Why'],
                newestFirst.map(testRow),
              ),
              make('p', { class: 'quiet' }, 'Each is signed by the host. Your own machine checks the signatures:'),
              command(`felhom restore-tests ${hostId}`),
            ],
      ],
      [
        'Queue of heavy work',
        queue.length === 0 ? [] : [table(['Work', 'Guest', 'Since', 'State'], queue.map(queueRow))],
      ],
    ];
  }

  return { sections };
})();
