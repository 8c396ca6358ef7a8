/** `felhom hosts`, `hosts add`, `hosts rekey`, `hosts clear-fork`, `hosts clear-audit-fork`, `hosts trust`. */
import type { Command } from 'commander';
import type { HostState, HostSummary } from '@felhom/protocol';
import { formatAge, formatDuration, printableLine, renderTable } from '@felhom/terminal';
import type { Style, Tone } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { addHostsTrust } from './hosts-trust.ts';

interface Json {
  readonly json?: boolean;
}

export function addHosts(program: Command, context: CommandContext): void {
  const hosts = program
    .command('hosts')
    .description('list the hosts of the hub, with the age of their last contact')
    .option('--json', 'print JSON')
    .action(async (options: Json) => {
      const list = await context.withHub((hub) => hub.hosts());
      context.print(options, list, () => renderHosts(list.hosts, list.now, context.style));
    });
  hosts
    .command('add')
    .description('add a host and print its API key, this once')
    .argument('<name>', 'lower-case letters, digits and -')
    .option('--json', 'print JSON')
    .action(async (name: string, _: Json, command: Command) => {
      const created = await context.withHub((hub) => hub.addHost(name));
      printKey(context, command, created, 'The hub keeps a hash only. Put the key into the key file of the host:');
    });
  hosts
    .command('rekey')
    .description('make a new API key for a host; the one before stops working at once')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, _: Json, command: Command) => {
      const created = await context.withHub((hub) => hub.rekeyHost(name));
      printKey(
        context,
        command,
        created,
        'The key before is worthless now. Put this one into the key file of the host:',
      );
    });
  hosts
    .command('clear-fork')
    .description('say that the cause of "two agents?" is settled')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, _: Json, command: Command) => {
      await context.withHub((hub) => hub.clearFork(name));
      context.print(command.optsWithGlobals<Json>(), { hostId: name }, () => `${name}: the warning is cleared.\n`);
    });
  hosts
    .command('clear-audit-fork')
    .description('say that the cause of "two tales of the audit log" is settled; what was told is kept')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, _: Json, command: Command) => {
      await context.withHub((hub) => hub.clearAuditFork(name));
      context.print(
        command.optsWithGlobals<Json>(),
        { hostId: name },
        () => `${name}: the warning is cleared. The hub keeps both tales: felhom audit verify ${name}\n`,
      );
    });
  addHostsTrust(hosts, context);
}

/** The key alone goes to stdout, so that it can be piped into a file without showing up in a terminal. */
function printKey(
  context: CommandContext,
  command: Command,
  created: { readonly hostId: string; readonly apiKey: string },
  note: string,
): void {
  const options = command.optsWithGlobals<Json>();
  if (options.json !== true) context.io.stderr.write(`Host ${created.hostId}: ${note}\n`);
  context.print(options, created, () => `${created.apiKey}\n`);
}

export const stateTones = {
  ok: 'good',
  working: 'note',
  'needs-attention': 'warn',
  'no-report': 'warn',
  late: 'warn',
  unknown: 'warn',
  forked: 'bad',
  'stale-hub': 'bad',
  silent: 'bad',
  'never-seen': 'dim',
} as const satisfies Record<HostState, Tone>;

export function renderHosts(hosts: readonly HostSummary[], now: number, style: Style): string {
  if (hosts.length === 0) return 'No hosts yet. Add one: felhom hosts add NAME\n';
  const flag = (count: number, tone: Tone) => (count === 0 ? '-' : style.paint(tone, String(count)));
  const table = renderTable(
    [
      { title: 'host' },
      { title: 'state' },
      { title: 'last contact' },
      { title: 'guests', align: 'right' },
      { title: 'working', align: 'right' },
      { title: 'parked', align: 'right' },
      { title: 'to sign', align: 'right' },
      { title: 'findings', align: 'right' },
      { title: 'backups', align: 'right' },
      { title: 'desired' },
      { title: 'agent' },
    ],
    hosts.map((host) => [
      style.paint('strong', host.hostId),
      style.paint(stateTones[host.state], [host.state, ...marksOf(host, now)].join(' ')),
      formatAge(host.lastContactAt, now),
      `${host.guests.running}/${host.guests.total}`,
      flag(host.sagas, 'note'),
      flag(host.parked, 'bad'),
      flag(host.blocked + host.jobsToSign, 'warn'),
      flag(host.findings.total, host.findings.worst === 'critical' ? 'bad' : 'warn'),
      renderBackupCount(host, style),
      renderGenerations(host),
      printableLine(host.agentVersion ?? '-'),
    ]),
    style,
  );
  return table + renderToSign(hosts, style);
}

/** "21/24": fresh and proven, of guests on tiers; "21/24 +2 bulk" where two volumes have no copy at all. */
function renderBackupCount({ backups: { lines, ok, unprotectedBulk } }: HostSummary, style: Style): string {
  const count = lines === 0 ? '-' : style.paint(ok < lines ? 'warn' : 'plain', `${ok}/${lines}`);
  return unprotectedBulk === 0 ? count : `${count} ${style.paint('bad', `+${unprotectedBulk} bulk`)}`;
}

/** What an operator set that changes how a state is to be read. */
export function marksOf(host: Pick<HostSummary, 'hold' | 'snoozedUntil'>, now: number): string[] {
  return [
    ...(host.hold ? ['(hold)'] : []),
    ...(host.snoozedUntil === undefined || host.snoozedUntil <= now
      ? []
      : [`(snoozed, ${formatDuration(host.snoozedUntil - now)} left)`]),
  ];
}

const named = 5;

function renderToSign(hosts: readonly HostSummary[], style: Style): string {
  const waiting = hosts.filter((host) => host.blocked + host.jobsToSign > 0).map(({ hostId }) => hostId);
  if (waiting.length === 0) return '';
  const more = waiting.length > named ? ` and ${waiting.length - named} more` : '';
  const verb = waiting.length === 1 ? 'waits' : 'wait';
  return `\n${style.paint('warn', `${waiting.slice(0, named).join(', ')}${more} ${verb} for signatures.`)} felhom status HOST shows for what.\n`;
}

/** "7", "8 (host holds 7)", "- (host holds 7)". */
export function renderGenerations(host: Pick<HostSummary, 'desired' | 'held'>): string {
  const wanted = host.desired === undefined ? '-' : String(host.desired.generation);
  const { held } = host;
  if (held === undefined) return wanted;
  if (held.is !== 'held') return `${wanted} (host: ${held.is})`;
  const same = held.lineage === host.desired?.lineage && held.generation === host.desired.generation;
  return same ? wanted : `${wanted} (host holds ${held.generation})`;
}
