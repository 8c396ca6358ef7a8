/**
 * Backups as people read them: per guest and tier how old the newest copy is, how old the newest that was proven, how
 * long a restore takes; what nobody backs up; restores that can still be undone; what waits for its turn.
 */
import type { Report, ReportedBackup, ReportedCopy, ReportedRestoreTest } from '@felhom/protocol';
import type { Style, Tone } from './style.ts';
import { indent, renderTable } from './table.ts';
import { formatAge, formatBytes, formatDuration } from './units.ts';
import { printable, printableLine } from './width.ts';

const stateTones = {
  ok: 'good',
  late: 'warn',
  unproven: 'warn',
  failing: 'bad',
  none: 'bad',
} as const satisfies Record<ReportedBackup['state'], Tone>;
const worst = { failing: 0, none: 1, late: 2, unproven: 3, ok: 4 } as const satisfies Record<
  ReportedBackup['state'],
  number
>;

/** "21 of 24 backups are good; 1 failing, 2 late", or `undefined` where there is nothing to back up. */
export function backupFact({ backups, bulk }: Report, style: Style): string | undefined {
  const unprotected = bulk.filter(isUnprotected).length;
  if (backups.length + unprotected === 0) return undefined;
  const counts = new Map<ReportedBackup['state'], number>();
  for (const { state } of backups) counts.set(state, (counts.get(state) ?? 0) + 1);
  const bad = (['failing', 'none', 'late', 'unproven'] as const).flatMap((state) => {
    const count = counts.get(state);
    return count === undefined ? [] : [style.paint(stateTones[state], `${count} ${stateWords[state]}`)];
  });
  const bare = unprotected === 0 ? [] : [style.paint('bad', `${unprotected} bulk without any`)];
  const good = `${counts.get('ok') ?? 0} of ${backups.length} fresh and proven`;
  return [good, ...bad, ...bare].join(', ');
}

const stateWords = {
  ok: 'ok',
  late: 'late',
  unproven: 'unproven',
  failing: 'failing',
  none: 'without a copy',
} as const satisfies Record<ReportedBackup['state'], string>;

/** Bulk that no copy of anybody holds. Said so by its owner it is not a mistake, and still worth a line. */
const isUnprotected = ({ decision, newestAt }: Report['bulk'][number]): boolean =>
  decision !== 'controller' || newestAt === undefined;

/** One line per guest and tier, the worst first. Ages are counted at `now`. */
export function renderBackups(backups: readonly ReportedBackup[], now: number, style: Style): string {
  const sorted = backups.toSorted(
    (a, b) => worst[a.state] - worst[b.state] || a.guest.localeCompare(b.guest) || a.tier.localeCompare(b.tier),
  );
  const table = renderTable(
    [
      { title: 'guest', max: 24 },
      { title: 'tier', max: 16 },
      { title: 'newest copy' },
      { title: 'proven copy' },
      { title: 'restore takes', align: 'right' },
      { title: 'next' },
      { title: 'state' },
    ],
    sorted.map((line) => [
      line.guest,
      printableLine(line.tier),
      copyAge(line.newest?.at, now) + (line.newest?.consistency === 'crash' ? ' (crash)' : ''),
      copyAge(line.proven?.at, now),
      line.rtoMs === undefined ? '-' : formatDuration(line.rtoMs),
      nextOf(line.nextAt, now),
      style.paint(stateTones[line.state], stateWords[line.state]),
    ]),
    style,
  );
  const notes = sorted.flatMap((line) => {
    const of = `${line.guest}/${line.tier}`;
    return [
      ...(line.lastFailure === undefined ? [] : [style.paint('bad', printableLine(`${of}: ${line.lastFailure}`))]),
      ...line.risks.map((risk) => style.paint('warn', printableLine(`${of}: a restore would fail: ${risk}`))),
    ];
  });
  return table + notes.map((line) => `${line}\n`).join('');
}

const copyAge = (at: number | undefined, now: number): string => (at === undefined ? 'none' : formatAge(at, now));

function nextOf(at: number | undefined, now: number): string {
  if (at === undefined) return '-';
  return at <= now ? 'due' : `in ${formatDuration(at - now)}`;
}

/** Blocks under titles, for the report: tables, bulk, undo windows, queue. `host`: as the operator's commands take it. */
export function backupSections(
  report: Report,
  { now, style, host }: { readonly now: number; readonly style: Style; readonly host: string | undefined },
): readonly (readonly [title: string, blocks: readonly string[]])[] {
  const { backups, bulk, restores, queue } = report;
  return [
    ['Backups', backups.length === 0 ? [] : [renderBackups(backups, now, style)]],
    ['Bulk volumes: no backup of the host holds them', bulk.map((line) => bulkLine(line, now, style))],
    [
      'Restores that can be undone',
      restores
        .filter(({ state }) => state === 'undoable')
        .map(({ guest, kind, id, at, until, text }) => {
          const left = until === undefined ? '' : `, ${formatDuration(Math.max(0, until - now))} left to undo it`;
          const title = style.paint('warn', printableLine(`${guest}: ${kind} ${id}`));
          const next =
            host === undefined
              ? 'have an operator sign its undo or its finish: felhom job undo | finish'
              : printableLine(`felhom job undo ${host} ${id}, or felhom job finish ${host} ${id} to free its room now`);
          const said = printable(text).replaceAll('\n', '\n| ');
          return `${title} (${formatAge(at, now)}${left})\n${indent(`${said}\n`)}  next: ${next}\n`;
        }),
    ],
    [
      'Queue of heavy work',
      queue.map(({ what, guest, since, waitsFor }) => {
        const whose = guest === undefined ? '' : ` of ${guest}`;
        const waits = waitsFor.length === 0 ? 'runs' : `waits for ${waitsFor.join(', ')}`;
        return `${printableLine(`${what}${whose}: ${waits}`)} (${formatAge(since, now)})\n`;
      }),
    ],
  ];
}

function bulkLine(line: Report['bulk'][number], now: number, style: Style): string {
  const name = printableLine(`${line.guest}/${line.volume}`);
  if (line.decision === 'none-acknowledged')
    return `${name}: ${style.paint('dim', 'not backed up, and that was accepted')}\n`;
  if (line.decision === 'undecided')
    return `${name}: ${style.paint('bad', 'UNPROTECTED')}, and nobody decided that\n  next: give it an ownBackup in desired state\n`;
  const by = printableLine(`its controller to ${line.target ?? '?'}`);
  if (line.newestAt === undefined) return `${name}: ${style.paint('bad', 'UNPROTECTED')}: no copy yet by ${by}\n`;
  const checked =
    line.checkedAt === undefined ? 'never read back by its controller' : `read back ${formatAge(line.checkedAt, now)}`;
  return `${name}: ${formatAge(line.newestAt, now)} by ${by}, ${style.paint(line.checkedAt === undefined ? 'warn' : 'plain', checked)}\n`;
}

const classes = { scheduled: 'scheduled', 'on-demand': 'on demand', checkpoint: 'checkpoint' } as const;

/** Copies that a signed job may name, newest first. */
export function renderCopies(copies: readonly ReportedCopy[], now: number, style: Style): string {
  return renderTable(
    [
      { title: 'guest', max: 24 },
      { title: 'tier', max: 16 },
      { title: 'age' },
      { title: 'size', align: 'right' },
      { title: 'proven' },
      { title: 'apps' },
      { title: 'class' },
      { title: 'id' },
      { title: 'sha-256' },
    ],
    copies
      .toSorted((a, b) => b.at - a.at)
      .map((copy) => [
        copy.guest,
        printableLine(copy.tier),
        formatAge(copy.at, now),
        formatBytes(copy.sizeBytes),
        copy.proven ? style.paint('good', 'proven') : style.paint('warn', 'no'),
        copy.consistency === 'app' ? 'held still' : style.paint('warn', 'crash'),
        classes[copy.class] + (copy.protected ? ', protected' : ''),
        printableLine(copy.id),
        copy.sha256.slice(0, 12),
      ]),
    style,
  );
}

const verdictTones = { passed: 'good', failed: 'bad', unproven: 'warn', skipped: 'dim' } as const satisfies Record<
  ReportedRestoreTest['evidence']['verdict'],
  Tone
>;

export interface RestoreTestLine {
  readonly test: ReportedRestoreTest;
  /** Whether the pinned key of the host signed it. */
  readonly verified: boolean;
}

/** Restore-tests, newest first, each with what it showed, how long it took and why it is not better. */
export function renderRestoreTests(lines: readonly RestoreTestLine[], now: number, style: Style): string {
  return lines
    .toSorted((a, b) => b.test.evidence.endedAt - a.test.evidence.endedAt)
    .map(({ test: { evidence, digest }, verified }) => {
      const { name, tier, verdict, grade, endedAt, backup, text, code, timings, content } = evidence;
      const title = printableLine(`${name}/${tier}: ${grade}`);
      const parts = [
        ['check', timings.checkMs],
        ['restore', timings.restoreMs],
        ['boot', timings.bootMs],
        ['healthy', timings.healthyMs],
        ['content', timings.contentMs],
      ] as const;
      const times = parts.flatMap(([part, ms]) => (ms === undefined ? [] : [`${part} ${formatDuration(ms)}`]));
      const of = `of backup ${backup.id}, taken ${formatAge(backup.takenAt, now)}`;
      return [
        `${style.paint(verdictTones[verdict], verdict)} ${title} (${formatAge(endedAt, now)})`,
        ...[
          ...(text === '' && code === undefined
            ? []
            : [`why: ${[text, code === undefined ? '' : `(${code})`].join(' ').trim()}`]),
          times.length === 0 ? of : `${of}; ${times.join(', ')}`,
          ...(content === undefined
            ? []
            : [`${content.files} files on ${content.volumes} volumes compared, ${content.mismatches} differ`]),
        ].map((line) => `  ${printableLine(line)}`),
        verified
          ? `  ${style.paint('good', 'signed by the host')}, evidence ${digest.slice(0, 12)}`
          : `  ${style.paint('bad', 'NOT SIGNED by the pinned key of this host: believe nothing of it')}`,
        '',
      ].join('\n');
    })
    .join('');
}
