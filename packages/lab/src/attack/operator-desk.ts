/**
 * Alice's own machine: the real command line with her pins and her key, on the clock of the simulated world. What a hub
 * shows reaches it as a file, which goes through the same door as what a hub sends.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runFelhom } from '@felhom/cli';
import type { Machine, ToolResult } from '@felhom/cli';
import { parsePublicKey } from '@felhom/protocol';
import type { Report, SignedStatement } from '@felhom/protocol';
import type { Target } from './trick.ts';

/** What a hub claims about the host. */
export interface Claim {
  readonly statement: SignedStatement;
  readonly report: Report;
}

export interface OperatorDesk {
  /** `felhom approve` of this digest, after looking at the claim. */
  approve(
    claim: Claim,
    digest: string,
  ): Promise<{ readonly code: number; readonly signed: boolean; readonly err: string }>;
}

/** `folder` is removed by the caller. The key of the host is pinned already. */
export async function openDesk(target: Target, folder: string): Promise<OperatorDesk> {
  const machine = machineOf(target);
  let files = 0;
  const run = async (argv: readonly string[]): Promise<{ code: number; err: string }> => {
    let err = '';
    const sink = { write: (text: string) => (err += text) };
    const code = await runFelhom(
      argv,
      {
        stdout: sink,
        stderr: sink,
        env: { XDG_CONFIG_HOME: folder, NO_COLOR: '1' },
        homeDirectory: folder,
        readStdin: () => Promise.resolve(''),
        ask: () => Promise.resolve(undefined),
      },
      machine,
    );
    return { code, err };
  };
  const pinned = await run(['hosts', 'trust', 'lab', target.world.hostKey.publicLine]);
  if (pinned.code !== 0) throw new Error(`alice cannot pin the key of the host: ${pinned.err}`);
  return {
    approve: async (claim, digest) => {
      files += 1;
      const from = join(folder, `claim-${files}.json`);
      const out = join(folder, `envelope-${files}.json`);
      writeFileSync(from, JSON.stringify({ v: 1, host: 'lab', ...claim }), { mode: 0o600 });
      const key = ['--key', join(folder, 'alice')];
      const { code, err } = await run(['approve', 'lab', digest, '--from', from, '--out', out, '--yes', ...key]);
      return { code, signed: exists(out), err };
    },
  };
}

function exists(file: string): boolean {
  try {
    return readFileSync(file).length > 0;
  } catch {
    return false;
  }
}

/** Her `ssh-keygen` is the key of the simulated alice; whether it signs at all is what is looked at. */
function machineOf({ world, cast }: Target): Machine {
  const random = world.random.fork('desk of alice');
  const ran = (stdout: string): ToolResult => ({ is: 'ran', status: 0, stdout, stderr: '' });
  return {
    now: () => world.clock.now(),
    random: (count) => random.bytes(count),
    sleep: () => Promise.resolve(),
    sshKeygen: async (args) => {
      if (args.includes('-l'))
        return ran(`256 ${parsePublicKey(cast.alice.keyLine)?.fingerprint ?? ''} alice (ED25519)\n`);
      const file = args.at(-1) ?? '';
      const namespace = args[args.indexOf('-n') + 1] ?? '';
      writeFileSync(`${file}.sig`, cast.alice.sign(namespace, readFileSync(file)));
      return ran('');
    },
  };
}
