/** `felhom audit verify | show | export`: the log of a host, held against what the host signed. */
import type { Command } from 'commander';
import { findFork, parsePublicKey } from '@felhom/protocol';
import type { AuditEntry } from '@felhom/protocol';
import { formatCount, indent, printableLine } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import { checkAudit, readEntries } from '../audit-check.ts';
import type { AuditCopy, AuditFault, AuditVerdict } from '../audit-check.ts';
import { fetchAudit, readAuditFile } from '../audit-copy.ts';
import type { CommandContext } from '../command-context.ts';
import { CliError, exitCodes } from '../io.ts';
import { writeNew } from '../jobs/deliver.ts';
import { loadPin } from '../pins.ts';
import type { Pin } from '../pins.ts';
import { timeText } from '../time-text.ts';

interface Json {
  readonly json?: boolean;
}
interface Epoch {
  readonly epoch?: string;
}

export function addAudit(program: Command, context: CommandContext): void {
  const audit = program.command('audit').description("the log of what was done on a host, in the host's own words");
  audit
    .command('verify')
    .description('whether the log is whole: chained without a gap, and every head that the host signed in its place')
    .argument('[host]')
    .option('--file <file>', 'a copy in a file; with a host, it is compared with that of the hub as well')
    .option('--epoch <epoch>', 'an earlier epoch of the host')
    .option('--json', 'print JSON')
    .action((name: string | undefined, options: Json & Epoch & { readonly file?: string }) =>
      verify(context, name, options),
    );
  audit
    .command('show')
    .description('what happened, in order of time')
    .argument('<host>')
    .option('--guest <name>', 'only what is about this guest, by its name or uid')
    .option('--last <count>', 'only the newest', '50')
    .option('--epoch <epoch>', 'an earlier epoch of the host')
    .option('--json', 'print JSON')
    .action((name: string, options: Json & Epoch & { readonly guest?: string; readonly last: string }) =>
      show(context, name, options),
    );
  audit
    .command('export')
    .description('write the log and the heads that the host signed to a file')
    .argument('<host>')
    .requiredOption('--out <file>', 'file to write')
    .option('--epoch <epoch>', 'an earlier epoch of the host')
    .action(async (name: string, options: Epoch & { readonly out: string }) => {
      const copy = await context.withHub((hub) => fetchAudit(hub, name, options.epoch));
      await writeNew(options.out, JSON.stringify({ v: 1, ...copy }));
      context.io.stdout.write(
        `Wrote ${copy.entries.length} entries to ${options.out}; felhom audit verify --file ${options.out} checks them.\n`,
      );
    });
}

async function verify(
  context: CommandContext,
  name: string | undefined,
  options: Json & Epoch & { readonly file?: string },
): Promise<void> {
  const copies: AuditCopy[] = [];
  if (options.file !== undefined) copies.push(await readAuditFile(options.file, name));
  if (name !== undefined) copies.push(await context.withHub((hub) => fetchAudit(hub, name, options.epoch)));
  const [copy, other] = copies;
  if (copy === undefined)
    throw new CliError(exitCodes.usage, 'usage', 'cannot verify nothing: name a host, or a file with --file');
  if (other !== undefined && copy.host !== other.host)
    throw new CliError(exitCodes.usage, 'usage', `cannot compare the log of ${copy.host} with that of ${other.host}`);
  const pin = copy.host === '' ? undefined : await loadPin(context.io, copy.host);
  const isBare = copy.host === '' || copy.epoch === '';
  if (pin === undefined && !isBare)
    throw new CliError(
      exitCodes.unproven,
      'host.not-pinned',
      `cannot verify the audit log of ${copy.host}: its key is not pinned here`,
      `felhom-agent identity on the host's own screen shows its fingerprint; then felhom hosts trust ${copy.host} FINGERPRINT`,
    );
  const verdicts = copies.map((one) => checkAudit(one, pin));
  const fork = other === undefined ? undefined : findFork(copy.entries, other.entries);
  const faults = [
    ...verdicts.flatMap(({ faults: found }) => found),
    ...(fork === undefined
      ? []
      : [{ is: 'forked', at: fork, text: `file and hub tell different things from entry ${fork} on` } as const]),
  ];
  if (faults.length > 0) context.exitWith(exitCodes.failed);
  const result = { host: copy.host, epoch: copy.epoch, whole: faults.length === 0, faults, verdicts };
  context.print(options, result, () => renderVerdict(copy, verdicts[0], pin, faults, context.style));
}

function renderVerdict(
  copy: AuditCopy,
  verdict: AuditVerdict | undefined,
  pin: Pin | undefined,
  faults: readonly AuditFault[],
  style: Style,
): string {
  const count = formatCount(copy.entries.length, 'entry', 'entries');
  if (faults.length > 0)
    return [
      style.paint('bad', `BROKEN: the audit log ${copy.host === '' ? '' : `of ${copy.host} `}(${count})\n`),
      ...faults.map(({ is, at, text }) => indent(printableLine(`entry ${at}, ${is}: ${text}`) + '\n')),
      '  next: keep this copy (felhom audit export), and compare it with the log on the host itself\n',
    ].join('');
  const heads =
    pin === undefined || verdict === undefined || verdict.confirmed === 0
      ? style.paint('warn', 'No signed head was there to compare with: an end that was cut off would not show.\n')
      : `${formatCount(verdict.confirmed, 'head')} signed by the host (${parsePublicKey(pin.key)?.fingerprint ?? ''}) in place, up to entry ${verdict.confirmedTo}.\n`;
  return `${style.paint('good', 'Whole')}: ${count}, each linked to the one before.\n${heads}`;
}

async function show(
  context: CommandContext,
  name: string,
  options: Json & Epoch & { readonly guest?: string; readonly last: string },
): Promise<void> {
  const { copy, report } = await context.withHub(async (hub) => ({
    copy: await fetchAudit(hub, name, options.epoch),
    report: (await hub.host(name)).host.report,
  }));
  const uid = report?.guests.find((guest) => guest.name === options.guest)?.uid ?? options.guest;
  const entries = readEntries(copy.entries).filter(({ guest }) => uid === undefined || guest?.uid === uid);
  const last = /^\d{1,7}$/.test(options.last) ? Number(options.last) : 50;
  const shown = last === 0 ? [] : entries.slice(-last);
  context.print(options, { host: name, epoch: copy.epoch, entries: shown }, () =>
    shown.length === 0
      ? `The hub has no such entries of ${name}.\n`
      : `${shown.map((entry) => renderEntry(entry, context.style)).join('')}What the hub holds; felhom audit verify ${name} says whether it is the host's word.\n`,
  );
}

function renderEntry(entry: AuditEntry, style: Style): string {
  const time = timeText(entry.at);
  return `${style.paint('dim', `${String(entry.seq).padStart(6)}  ${time}`)}  ${style.paint('strong', entry.kind)}  ${printableLine(entry.text)}\n`;
}
