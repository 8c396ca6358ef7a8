/** `felhom status HOST`: what runs, what is stuck and what to do about it. */
import type { Command } from 'commander';
import type { HostDetail } from '@felhom/protocol';
import { formatAge, printable, renderFacts, renderReport, reportFacts } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
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
    host.report === undefined
      ? 'No report yet.\n'
      : renderReport(host.report, {
          now,
          style,
          blockedAdvice: `have the digest signed, or take the change back with felhom desired apply ${host.hostId} FILE`,
        }),
  ]
    .filter((part) => part !== '')
    .join('\n');
}
