/** Loads all that `run` needs and uses what of Node a host may lack. Touches no file of the host, so it can run beside an agent. */
import { DatabaseSync } from 'node:sqlite';
import { openDatagram } from '../adapters/sd-notify/index.ts';

/** What is wrong; `undefined`: nothing. Never rejects. */
export async function selfTest(): Promise<string | undefined> {
  try {
    await import('./run.ts');
    using database = new DatabaseSync(':memory:');
    database.exec('create table t (x); insert into t values (1)');
    // Without it systemd would hear nothing, and the watchdog would end every start.
    if (openDatagram() === undefined) return 'this Node cannot send to systemd';
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
