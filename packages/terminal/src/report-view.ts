/** A host's report as people read it: the same for the operator's command line and for the one on the host. */
import type { Report } from '@felhom/protocol';
import { renderProgress } from './progress.ts';
import type { Style, Tone } from './style.ts';
import { indent, renderTable } from './table.ts';
import { formatAge } from './units.ts';
import { printable, printableLine } from './width.ts';

const guestTones = {
  running: 'good',
  stopped: 'plain',
  missing: 'bad',
  'coming-up': 'note',
  unknown: 'warn',
} as const satisfies Record<Report['guests'][number]['status'], Tone>;
const severityTones = { critical: 'bad', warning: 'warn', info: 'note' } as const;
const severityOrder = { critical: 0, warning: 1, info: 2 } as const;

export function reportFacts(report: Report, now: number): readonly (readonly [string, string])[] {
  const { agent, node, proxmox } = report.versions;
  return [
    ['last pass', formatAge(report.lastPassAt, now)],
    ['versions', printableLine(`agent ${agent}, node ${node}${proxmox === undefined ? '' : `, Proxmox ${proxmox}`}`)],
  ];
}

export interface ReportView {
  readonly now: number;
  readonly style: Style;
  /** Where to look or what to run to have a blocked action allowed. */
  readonly blockedAdvice: string;
}

/** Guests, work in progress, what is parked, blocked or found. Texts of a host never move the cursor of who reads. */
export function renderReport(report: Report, { now, style, blockedAdvice }: ReportView): string {
  const section = (title: string, blocks: readonly string[]) =>
    blocks.length === 0 ? '' : `${style.paint('strong', title)}\n${blocks.map((block) => indent(block)).join('')}`;
  const cut = Object.entries(report.cut).filter(([, count]) => count > 0);
  return [
    section('Guests', [renderGuests(report, style)]),
    section(
      'In progress',
      report.sagas.map((saga) => {
        const name = printable(named(saga));
        const step = printable(saga.direction === 'back' ? `undoing ${saga.step}` : saga.step);
        const text = saga.text === undefined ? undefined : printable(saga.text);
        return `${renderProgress({ ...saga, name, step, text }, style)}\n`;
      }),
    ),
    section(
      'Parked: waits for a decision',
      report.parked.map((parked) =>
        block(
          style.paint('bad', printable(`${named(parked)} at ${parked.step}`)) + ` (${formatAge(parked.since, now)})`,
          [printable(parked.why.text), ...(parked.why.detail === undefined ? [] : [printable(parked.why.detail)])],
          printable(parked.command),
        ),
      ),
    ),
    section(
      'Blocked: needs a signature',
      report.blocked.map((blocked) =>
        block(
          style.paint('warn', `${blocked.document.verb} (${blocked.document.effectClass})`) +
            ` (${formatAge(blocked.since, now)})`,
          [printable(blocked.text), `digest ${blocked.digest}`],
          blockedAdvice,
        ),
      ),
    ),
    section(
      'Findings',
      [...report.findings]
        .sort((a, b) => severityOrder[a.severity] - severityOrder[b.severity] || a.since - b.since)
        .map((finding) =>
          block(
            `${style.paint(severityTones[finding.severity], finding.severity)} ${printable(finding.subject)} (${formatAge(finding.since, now)})`,
            [printable(finding.text)],
            printable([finding.advice.text, finding.advice.command].filter((part) => part !== undefined).join(' ')),
          ),
        ),
    ),
    cut.length === 0 ? '' : `Not shown: ${cut.map(([list, count]) => `${count} more ${list}`).join(', ')}.\n`,
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function renderGuests(report: Report, style: Style): string {
  if (report.guests.length === 0) return 'none\n';
  return renderTable(
    [
      { title: 'guest' },
      { title: 'vmid', align: 'right' },
      { title: 'status' },
      { title: 'differs' },
      { title: 'waits for a restart' },
    ],
    report.guests.map((guest) => [
      guest.name,
      guest.vmid === undefined ? '-' : String(guest.vmid),
      style.paint(guestTones[guest.status], guest.held ? `${guest.status} (hold)` : guest.status),
      printableLine(guest.drift.join(', ')),
      printableLine(guest.pending.join(', ')),
    ]),
    style,
  );
}

function named(saga: { readonly name: string; readonly guest?: string | undefined }): string {
  return saga.guest === undefined ? saga.name : `${saga.name} ${saga.guest}`;
}

function block(title: string, lines: readonly string[], next: string): string {
  return `${title}\n${lines.map((line) => indent(`${line}\n`)).join('')}  next: ${next}\n`;
}
