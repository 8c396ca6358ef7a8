/** `felhom status HOST`: what runs, what is stuck and what to do about it. */
import type { Command } from 'commander';
import type { HostDetail, Report } from '@felhom/protocol';
import { formatAge, printableLine, renderFacts, renderReport, reportFacts } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { CliError } from '../io.ts';
import { loadPin, savePin } from '../pins.ts';
import { verifyHost } from '../verified-host.ts';
import { marksOf, renderGenerations, stateTones } from './hosts.ts';

export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .description('show one host: guests, work in progress, findings, blocked actions and what to do')
    .argument('<host>')
    .option('--json', 'print JSON')
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const { now, host } = await context.withHub((hub) => hub.host(name));
      const { belief, report } = await believe(context, host);
      // What is called verified is what was verified: ages and the last pass are not the hub's then.
      const shown = report === undefined ? host : { ...host, report };
      context.print(options, { ...shown, belief }, () => renderStatus(shown, now, context.style, belief));
    });
}

/** Whether what is shown is the host's own word. */
export type Belief =
  | { readonly is: 'verified'; readonly sequence: number; readonly at: number }
  | { readonly is: 'hub-only'; readonly why: string; readonly next: string | undefined };

/** Looking is allowed whatever the outcome; signing asks again, and insists. */
async function believe(
  context: CommandContext,
  host: HostDetail,
): Promise<{ readonly belief: Belief; readonly report?: Report }> {
  const pin = await loadPin(context.io, host.hostId);
  try {
    const { statement, report, seen } = verifyHost(host.hostId, host, pin, context.machine.now());
    if (pin !== undefined) await savePin(context.io, host.hostId, { ...pin, current: seen });
    return { belief: { is: 'verified', sequence: statement.sequence, at: statement.at }, report };
  } catch (error) {
    if (error instanceof CliError) return { belief: { is: 'hub-only', why: error.message, next: error.next } };
    throw error;
  }
}

function renderBelief(belief: Belief, now: number, style: Style): string {
  if (belief.is === 'verified')
    return `${style.paint('good', 'verified')}: signed by the host, statement ${belief.sequence}, ${formatAge(belief.at, now)}`;
  return `${style.paint('warn', "the hub's word only")}: ${printableLine(belief.why)}`;
}

/** Of what "forked" is said: of its polls, of its audit log, or of both. */
function forksOf({ state, fork, auditFork }: HostDetail): string[] {
  if (state !== 'forked') return [];
  const which = [...(fork === undefined ? [] : ['polls']), ...(auditFork === undefined ? [] : ['audit log'])];
  return [`(${which.join(' and ')})`];
}

function renderMailbox({ mailbox: { waiting, taken }, hostId }: HostDetail): string {
  if (waiting + taken === 0) return 'empty';
  return `${waiting} waiting, ${taken} taken by the host (felhom jobs ${hostId})`;
}

/** Texts of the host are made printable: a guest's name must not move the cursor of the operator. */
export function renderStatus(host: HostDetail, now: number, style: Style, belief?: Belief): string {
  const head = renderFacts(
    [
      ['host', style.paint('strong', host.hostId)],
      ['state', style.paint(stateTones[host.state], [host.state, ...forksOf(host), ...marksOf(host, now)].join(' '))],
      ['last contact', formatAge(host.lastContactAt, now)],
      ...(host.heartbeat?.metered === true
        ? [['metered', 'it polls seldom, and reports at once what matters'] as const]
        : []),
      ['last report', formatAge(host.reportAt, now)],
      ...(belief === undefined ? [] : [['what is shown', renderBelief(belief, now, style)] as const]),
      ['desired state', renderGenerations(host)],
      ['mailbox', renderMailbox(host)],
      ...(host.report === undefined ? [] : reportFacts(host.report, now, style, host.heartbeat?.vitals)),
    ],
    style,
  );
  const warnings = [
    ...(belief?.is === 'hub-only' && belief.next !== undefined ? [`  next: ${printableLine(belief.next)}`] : []),
    ...(host.fork === undefined
      ? []
      : [
          style.paint('bad', printableLine(host.fork.text)),
          `  next: felhom hosts clear-fork ${host.hostId}, once settled`,
        ]),
    ...(host.auditFork === undefined
      ? []
      : [
          style.paint('bad', printableLine(host.auditFork.text)),
          `  next: felhom audit verify ${host.hostId} names the entries; felhom hosts clear-audit-fork ${host.hostId}, once settled`,
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
    host.report === undefined
      ? 'No report yet.\n'
      : renderReport(host.report, {
          now,
          style,
          host: host.hostId,
          blockedAdvice: ({ digest }) =>
            `felhom approve ${host.hostId} ${digest.slice(0, 12)}, or take the change back with felhom desired apply ${host.hostId} FILE`,
        }),
  ]
    .filter((part) => part !== '')
    .join('\n');
}
