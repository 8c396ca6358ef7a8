/** The command table of `felhom`, and how every command ends. */
import { Command, CommanderError } from 'commander';
import { printableLine } from '@felhom/terminal';
import { createContext } from './command-context.ts';
import { addAlerts } from './commands/alerts.ts';
import { addAdopt } from './commands/adopt.ts';
import { addApprove } from './commands/approve.ts';
import { addAudit } from './commands/audit.ts';
import { addBackups } from './commands/backups.ts';
import { addCompletion } from './commands/completion.ts';
import { addDesired } from './commands/desired.ts';
import { addHosts } from './commands/hosts.ts';
import { addJob } from './commands/job.ts';
import { addJobs } from './commands/jobs.ts';
import { addKey } from './commands/key.ts';
import { addLogin } from './commands/login.ts';
import { addRelease } from './commands/release.ts';
import { addStatus } from './commands/status.ts';
import { addVersion } from './commands/version.ts';
import { CliError, exitCodes } from './io.ts';
import type { CliIo, Machine } from './io.ts';
import { systemMachine } from './system.ts';

const footer = `
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 the hub was not reached or refused the token · 4 somebody else was
faster, or two copies disagree · 5 there are differences (only with desired diff --exit-code) · 6 what the hub shows is
not the host's own word, nothing was signed · 7 sent, and waits for more people or for the host

Environment: FELHOM_HUB_URL, FELHOM_TOKEN, FELHOM_CA_FILE win over the login; NO_COLOR turns colour off.
`;

/** Runs one command line, without the program's name, and answers its exit code. Never ends the process. */
export async function runFelhom(
  argv: readonly string[],
  io: CliIo,
  machine: Machine = systemMachine(),
): Promise<number> {
  let exit: number = exitCodes.done;
  const program = new Command('felhom')
    .description('the operator of a Felhom fleet: hosts, their desired state, and what they say')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showSuggestionAfterError()
    .addHelpText('after', footer);
  const context = createContext(io, machine, (code) => (exit = code));
  addLogin(program, context);
  addHosts(program, context);
  addStatus(program, context);
  addBackups(program, context);
  addDesired(program, context);
  addApprove(program, context);
  addJob(program, context);
  addJobs(program, context);
  addAdopt(program, context);
  addAudit(program, context);
  addKey(program, context);
  addRelease(program, context);
  addAlerts(program, context);
  addCompletion(program, context);
  addVersion(program, context);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exit;
  } catch (error) {
    return report(error, argv.includes('--json'), io);
  }
}

function report(error: unknown, json: boolean, io: CliIo): number {
  // Commander has already said what is wrong, or printed the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  if (!(error instanceof CliError)) throw error;
  if (json) {
    const { code, message: text, next } = error;
    io.stderr.write(`${JSON.stringify({ error: { code, text, ...(next === undefined ? {} : { next }) } })}\n`);
  } else {
    // Text and advice may be what answered in the place of the hub.
    const next = error.next === undefined ? '' : `  next: ${printableLine(error.next)}\n`;
    io.stderr.write(`felhom: ${printableLine(error.message)}\n${next}`);
  }
  return error.exit;
}
