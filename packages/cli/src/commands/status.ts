/** `felhom status HOST`: what runs, what is stuck and what to do about it. */
import type { Command } from 'commander';
import type { HostDetail, Report } from '@felhom/protocol';
import { formatAge, indent, printable, renderFacts, renderProgress, renderTable } from '@felhom/terminal';
import type { Style, Tone } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { renderGenerations, stateTones } from './hosts.ts';

export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .description('show one host: guests, work in progress, findings, blocked actions and what to do')
    .argument('<host>')
    .option('--json', 'print JSON')
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const { now, host } = await context.withHub((hub) => hub.host(name));
      context.print(options, host, () => renderStatus(host, now, context.style));
    });
}

/** Texts of the host are made printable: a guest's name must not move the cursor of the operator. */
export function renderStatus(host: HostDetail, now: number, style: Style): string {
  const head = renderFacts(
    [
      ['host', style.paint('strong', host.hostId)],
      ['state', style.paint(stateTones[host.state], host.hold ? `${host.state} (hold)` : host.state)],
      ['last contact', formatAge(host.lastContactAt, now)],
      ['desired state', renderGenerations(host)],
      ...(host.report === undefined ? [] : reportFacts(host.report, now)),
    ],
    style,
  );
  const warnings = [
    ...(host.fork === undefined
      ? []
      : [
          style.paint('bad', printable(host.fork.text)),
          `  next: felhom hosts clear-fork ${host.hostId}, once settled`,
        ]),
    ...(host.stale === undefined
      ? []
      : [
          style.paint('bad', `The host holds generation ${host.stale.generation}, which the hub does not have.`),
          `  next: felhom desired resolve ${host.hostId} --keep agent|hub`,
        ]),
  ];
  return [
    head,
    warnings.map((line) => `${line}\n`).join(''),
    host.report === undefined ? 'No report yet.\n' : renderReport(host.hostId, host.report, now, style),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function reportFacts(report: Report, now: number): [string, string][] {
  const { agent, node, proxmox } = report.versions;
  return [
    ['last pass', formatAge(report.lastPassAt, now)],
    ['versions', printable(`agent ${agent}, node ${node}${proxmox === undefined ? '' : `, Proxmox ${proxmox}`}`)],
  ];
}

const guestTones = {
  running: 'good',
  stopped: 'plain',
  missing: 'bad',
  'coming-up': 'note',
  unknown: 'warn',
} as const satisfies Record<Report['guests'][number]['status'], Tone>;
const severityTones = { critical: 'bad', warning: 'warn', info: 'note' } as const;
const severityOrder = { critical: 0, warning: 1, info: 2 } as const;

function renderReport(hostId: string, report: Report, now: number, style: Style): string {
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
          `have the digest signed, or take the change back with felhom desired apply ${hostId} FILE`,
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
      printable(guest.drift.join(', ')),
      printable(guest.pending.join(', ')),
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
