/** A host's report as people read it: the same for the operator's command line and for the one on the host. */
import type { BlockedAction, HostVitals, Report, ReportedJob } from '@felhom/protocol';
import { backupFact, backupSections } from './backup-view.ts';
import { hostFacts, renderTargets } from './host-view.ts';
import { renderProgress } from './progress.ts';
import { createStyle } from './style.ts';
import type { Style, Tone } from './style.ts';
import { indent, renderTable } from './table.ts';
import { formatAge, formatCount, formatDuration } from './units.ts';
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

export function reportFacts(
  report: Report,
  now: number,
  style = createStyle(false),
  /** Numbers of now, where the reader has them. */
  vitals?: HostVitals,
): readonly (readonly [string, string])[] {
  const { agent, node, proxmox } = report.versions;
  const backups = backupFact(report, style);
  return [
    ['last pass', formatAge(report.lastPassAt, now)],
    ...hostFacts(report, vitals, now, style),
    ...(backups === undefined ? [] : [['backups', backups] as const]),
    ['trust', trustLine(report.trust, now)],
    ...(report.breakGlass.is === 'closed' ? [] : [['break-glass', breakGlassLine(report.breakGlass, now)] as const]),
    ['versions', printableLine(`agent ${agent}, node ${node}${proxmox === undefined ? '' : `, Proxmox ${proxmox}`}`)],
  ];
}

const dayMs = 24 * 60 * 60_000;

/** "version 3, 2 people may sign, 60 days left", or why nobody's signature counts. */
function trustLine(trust: Report['trust'], now: number): string {
  if (trust.is === 'none') return 'nobody: nothing that needs a signature can be allowed';
  if (trust.is === 'unreadable') return printableLine(`UNREADABLE: ${trust.text}`);
  const { version, signers, expiresAt } = trust.document;
  const people = new Set(signers.map(({ principal }) => principal)).size;
  const left = Math.floor((expiresAt - now) / dayMs);
  const life = expiresAt <= now ? 'EXPIRED' : `${formatCount(left, 'day')} left`;
  return `version ${version}, ${people === 1 ? '1 person' : `${people} people`} may sign, ${life}`;
}

function breakGlassLine(state: Report['breakGlass'], now: number): string {
  if (state.is === 'open') return `OPEN for ${formatDuration(Math.max(0, state.until - now))} more`;
  return state.is === 'unknown' ? printableLine(`UNKNOWN: ${state.text}`) : 'closed';
}

export interface ReportView {
  readonly now: number;
  readonly style: Style;
  /** Where to look or what to run to have a blocked action allowed. */
  readonly blockedAdvice: string | ((blocked: BlockedAction) => string);
  /** Name of the host as the operator's commands take it; absent on the host itself. */
  readonly host?: string | undefined;
}

const jobTones = {
  waiting: 'warn',
  accepted: 'note',
  'cooling-off': 'warn',
  quarantine: 'warn',
  running: 'note',
  done: 'good',
  refused: 'bad',
  cancelled: 'dim',
  failed: 'bad',
} as const satisfies Record<ReportedJob['state'], Tone>;

/** What a host says about its signed jobs. `host`: as `ReportView.host`. */
export function renderJobs(jobs: readonly ReportedJob[], host: string | undefined, now: number, style: Style): string {
  return jobs
    .map((job) => {
      const whose = job.guest === '' ? '' : ` of ${job.guest}`;
      const title = `${style.paint(jobTones[job.state], job.state)} ${printableLine(`${job.kind}${whose}`)} (${formatAge(job.at, now)})`;
      const people = [
        ...(job.by.length === 0 ? [] : [`signed by ${job.by.join(', ')}`]),
        ...(job.missing === 0 ? [] : [`${job.missing} more must sign`]),
        ...(job.nextAt === undefined ? [] : [`goes on in ${formatDuration(Math.max(0, job.nextAt - now))}`]),
      ].join('; ');
      const lines = [quoted(job.text), ...(people === '' ? [] : [printableLine(people)]), `job ${job.jobId}`];
      return `${title}\n${lines.map((line) => indent(`${line}\n`)).join('')}${jobAdvice(job, host)}`;
    })
    .join('');
}

function jobAdvice(job: ReportedJob, host: string | undefined): string {
  if (host === undefined) return '';
  if (job.state === 'waiting' && job.missing > 0) return `  next: felhom job cosign ${host} ${job.jobId}\n`;
  if (job.state === 'cooling-off' || job.state === 'quarantine')
    return `  next: nothing, or felhom job cancel ${host} ${job.jobId}\n`;
  return '';
}

/** Guests, work in progress, what is parked, blocked or found. Texts of a host never move the cursor of who reads. */
export function renderReport(report: Report, { now, style, blockedAdvice, host }: ReportView): string {
  const section = (title: string, blocks: readonly string[]) =>
    blocks.length === 0 ? '' : `${style.paint('strong', title)}\n${blocks.map((block) => indent(block)).join('')}`;
  const cut = Object.entries(report.cut).filter(([, count]) => count > 0);
  return [
    section('Guests', [renderGuests(report, style)]),
    ...backupSections(report, { now, style, host }).map(([title, blocks]) => section(title, blocks)),
    section('Storage targets', report.targets.length === 0 ? [] : [renderTargets(report.targets, now, style)]),
    section(
      'In progress',
      report.sagas.map((saga) => {
        const name = printableLine(named(saga));
        const step = printableLine(saga.direction === 'back' ? `undoing ${saga.step}` : saga.step);
        const text = saga.text === undefined ? undefined : printableLine(saga.text);
        return `${renderProgress({ ...saga, name, step, text }, style)}\n`;
      }),
    ),
    section(
      'Parked: waits for a decision',
      report.parked.map((parked) =>
        block(
          style.paint('bad', printableLine(`${named(parked)} at ${parked.step}`)) +
            ` (${formatAge(parked.since, now)})`,
          [quoted(parked.why.text), ...(parked.why.detail === undefined ? [] : [quoted(parked.why.detail)])],
          printableLine(parked.command),
        ),
      ),
    ),
    section(
      'Blocked: needs a signature',
      report.blocked.map((blocked) =>
        block(
          style.paint('warn', `${blocked.document.verb} (${blocked.document.effectClass})`) +
            ` (${formatAge(blocked.since, now)})`,
          [quoted(blocked.text), `digest ${blocked.digest}`],
          typeof blockedAdvice === 'string' ? blockedAdvice : blockedAdvice(blocked),
        ),
      ),
    ),
    section('Signed jobs', report.jobs.length === 0 ? [] : [renderJobs(report.jobs, host, now, style)]),
    section(
      'Not on record: can be adopted',
      report.strangers.map((stranger) =>
        block(
          style.paint('warn', printableLine(`VMID ${stranger.vmid} ${stranger.name}`)),
          [quoted(stranger.why)],
          host === undefined ? 'have an operator sign its adoption' : `felhom adopt ${host} ${stranger.vmid}`,
        ),
      ),
    ),
    section(
      'Findings',
      [...report.findings]
        .sort((a, b) => severityOrder[a.severity] - severityOrder[b.severity] || a.since - b.since)
        .map((finding) =>
          block(
            `${style.paint(severityTones[finding.severity], finding.severity)} ${printableLine(finding.subject)} (${formatAge(finding.since, now)})`,
            [quoted(finding.text)],
            printableLine([finding.advice.text, finding.advice.command].filter((part) => part !== undefined).join(' ')),
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

/** A text of several lines, such as the tail of a log: every further line is marked, so that none passes for ours. */
function quoted(text: string): string {
  return printable(text).replaceAll('\n', '\n| ');
}

function block(title: string, lines: readonly string[], next: string): string {
  return `${title}\n${lines.map((line) => indent(`${line}\n`)).join('')}  next: ${next}\n`;
}
