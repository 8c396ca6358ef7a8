/** `felhom adopt HOST [VMID]`: takes guests that are not on record under the care of a host, by signed jobs [R36]. */
import type { Command } from 'commander';
import { guestName } from '@felhom/protocol';
import type { ReportedStranger } from '@felhom/protocol';
import { indent, printableLine } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { CliError, exitCodes } from '../io.ts';
import { adoptionOf, strangerAt } from '../jobs/adopt.ts';
import { usage, wholeNumber } from '../jobs/job-file.ts';
import { makeJob } from '../jobs/make-job.ts';
import { signAndDeliver } from '../jobs/sign-job.ts';
import { lookAtHost } from '../look-at-host.ts';
import { addSigningOptions, validForMs } from './signing-options.ts';
import type { SigningOptions } from './signing-options.ts';

interface AdoptOptions extends SigningOptions {
  readonly all?: boolean;
  readonly name?: string;
}

export function addAdopt(program: Command, context: CommandContext): void {
  addSigningOptions(
    program
      .command('adopt')
      .description(
        'adopt guests that were there before the agent, or after its journal was lost; without VMID, list them',
      )
      .argument('<host>')
      .argument('[vmid]')
      .option('--all', 'every one that can be adopted, one signature each')
      .option('--name <name>', 'name it gets; else the one it has'),
  ).action((name: string, vmid: string | undefined, options: AdoptOptions) => adopt(context, name, vmid, options));
}

async function adopt(
  context: CommandContext,
  name: string,
  vmid: string | undefined,
  options: AdoptOptions,
): Promise<void> {
  if (options.all === true && (vmid !== undefined || options.name !== undefined || options.out !== undefined))
    throw usage('--all goes with neither a VMID nor --name nor --out');
  const host = await lookAtHost(context, name, options.from);
  const { strangers } = host.report;
  if (vmid === undefined && options.all !== true) {
    context.print(options, { host: name, strangers }, () => renderStrangers(name, strangers));
    return;
  }
  const chosen =
    vmid === undefined
      ? strangers.filter((one) => objection(one) === undefined)
      : [strangerAt(host, wholeNumber(vmid, 'the VMID'))];
  for (const stranger of strangers)
    if (vmid === undefined && objection(stranger) !== undefined)
      context.io.stderr.write(`VMID ${stranger.vmid} is left out: ${objection(stranger) ?? ''}\n`);
  for (const stranger of chosen) {
    const why = objection(options.name === undefined ? stranger : { ...stranger, name: options.name });
    if (why !== undefined)
      throw new CliError(
        exitCodes.failed,
        'adopt.cannot',
        `cannot adopt VMID ${stranger.vmid}: ${why}`,
        'nothing was signed',
      );
    // The next one need not wait until the host has taken this one.
    const wait = options.all === true ? false : options.wait;
    const job = makeJob(host, 'adopt', adoptionOf(stranger, options.name), context.machine, validForMs(options));
    await signAndDeliver(context, host, job, { ...options, wait });
  }
}

function objection(stranger: ReportedStranger): string | undefined {
  if (stranger.volumes.length === 0) return 'no volumes of it are known, and a signature names them';
  if (!/^[0-9a-f]{40}$/.test(stranger.configDigest)) return 'the host does not say which config it has';
  return guestName.safeParse(stranger.name).success
    ? undefined
    : 'its name is no name of a guest here; adopt it alone with --name NAME';
}

function renderStrangers(name: string, strangers: readonly ReportedStranger[]): string {
  if (strangers.length === 0) return `${name} reports no guest that could be adopted.\n`;
  return (
    strangers
      .map((one) => {
        const lines = [
          `config digest ${one.configDigest}`,
          ...one.volumes.map((volume) => `volume ${volume}`),
          one.why,
        ];
        const why = objection(one);
        const all = why === undefined ? lines : [...lines, `cannot be adopted as it is: ${why}`];
        return `${one.vmid}  ${printableLine(one.name)}\n${all.map((line) => indent(`${printableLine(line)}\n`)).join('')}`;
      })
      .join('') + `  next: felhom adopt ${name} VMID, or felhom adopt ${name} --all\n`
  );
}
