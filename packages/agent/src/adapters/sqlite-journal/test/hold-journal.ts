/** A process that opens the journal named by its argument, writes one record, says so, and lives until it is killed. */
import { systemClock, systemRandom } from '../../system-clock/index.ts';
import { openJournal } from '../index.ts';

const clock = systemClock();
const journal = openJournal({ directory: process.argv[2] ?? '', clock, random: systemRandom() });
journal.append([{ v: 1, kind: 'fact', at: clock.now(), topic: 'held', body: process.pid }]);
process.stdout.write('held\n');
setInterval(() => undefined, 60_000);
