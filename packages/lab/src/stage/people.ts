/**
 * The people of a stage, with real keys: each has a home of their own with a key made by `ssh-keygen`, a login at the hub
 * and pins, as on a laptop each.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { labPeople } from '../world/people.ts';
import type { LabPerson } from '../world/people.ts';

export interface StagePerson {
  readonly principal: LabPerson;
  readonly home: string;
  /** The private key; only `ssh-keygen` ever opens it. */
  readonly keyFile: string;
  /** `ssh-ed25519 <base64>`. */
  readonly keyLine: string;
  /** The operator token of this person at the hub. */
  readonly token: string;
}

export type StagePeople = Readonly<Record<LabPerson, StagePerson>>;

/** `folder` must exist. Throws where `ssh-keygen` is missing. */
export async function makePeople(
  folder: string,
  tokenFor: (principal: string) => Promise<string>,
): Promise<StagePeople> {
  const people: StagePerson[] = [];
  for (const principal of labPeople) {
    const home = join(folder, principal);
    const ssh = join(home, '.ssh');
    mkdirSync(ssh, { recursive: true, mode: 0o700 });
    const keyFile = join(ssh, 'id_ed25519');
    const made = spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', keyFile], {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    });
    if (made.status !== 0)
      throw new Error(`cannot make a key for ${principal}: ${made.error?.message ?? made.stderr.trim()}`);
    const keyLine = readFileSync(`${keyFile}.pub`, 'utf8').trim();
    people.push({ principal, home, keyFile, keyLine, token: await tokenFor(principal) });
  }
  return Object.fromEntries(people.map((person) => [person.principal, person])) as Record<LabPerson, StagePerson>;
}
