// What Sequelize does, one line of JSON per step; "?" lets a stranger in, as in ../story.js. The notes are
// those of all stories.
'use strict';
const fs = require('fs');
const { Sequelize, DataTypes, Transaction, Op } = require('sequelize');

const tls = process.env.STORY_CA ? { ca: fs.readFileSync(process.env.STORY_CA, 'utf8') } : false;
const db = new Sequelize(process.env.PGDATABASE, process.env.PGUSER, process.env.PGPASSWORD, {
  dialect: 'postgres', host: process.env.PGHOST, port: process.env.PGPORT, logging: false, dialectOptions: { ssl: tls },
  pool: { max: 2, min: 1 }, timezone: '+02:00',
});

function tell(...what) {
  fs.writeSync(1, `${JSON.stringify(what)}\n`);
}

function meanwhile() {
  fs.writeSync(1, '?\n');
  fs.readSync(0, Buffer.alloc(16));
}

async function wrong(promise) {
  try {
    await promise;
    tell('went well');
  } catch (error) {
    tell(error.name, error.message, error.parent && error.parent.code);
  }
}

const Note = db.define('note', { v: { type: DataTypes.TEXT, allowNull: false } }, { timestamps: false });
const Person = db.define('person', { name: { type: DataTypes.STRING, unique: true }, seen: DataTypes.DATE, tags: DataTypes.JSONB });
const Pet = db.define('pet', { kind: DataTypes.ENUM('cat', 'dog') });
Person.hasMany(Pet);

async function rows() {
  for (let turn = 0; turn < 3; turn++) {
    const person = await Person.create({ name: `p${turn}`, seen: new Date(86400000 * turn), tags: { turn } });
    await person.createPet({ kind: turn % 2 ? 'dog' : 'cat' });
    meanwhile();
    const found = await Person.findOne({ where: { name: `p${turn}`, 'tags.turn': turn }, include: Pet });
    tell(found.id, found.seen, found.tags, found.pets.map((pet) => pet.kind));
    tell(await Person.count({ where: { id: { [Op.gte]: turn } } }));
  }
  tell((await Person.bulkCreate([{ name: 'x' }, { name: 'y' }], { returning: true })).map((p) => p.id));
  tell(await Person.upsert({ id: 1, name: 'p0', tags: {} }).then(([person]) => person.name));
  meanwhile();
  tell((await Person.findOrCreate({ where: { name: 'late' } })).map((p) => p.name || p));
  tell(await Person.update({ tags: null }, { where: { name: 'x' } }), await Person.destroy({ where: { name: 'y' } }));
}

async function mistakes() {
  await wrong(Person.create({ name: 'p0' }));
  await wrong(Note.create({ v: null }, { validate: false }));
  await wrong(db.query('SELECT FROM FROM'));
  await wrong(db.query('SELECT 1 / $1::int AS n', { bind: [0] }));
  meanwhile();
  tell(await db.query('SELECT $1::int AS n, $2::text AS t', { bind: [7, 'ü'], type: Sequelize.QueryTypes.SELECT }));
  tell(await db.query('SELECT :n::int AS n', { replacements: { n: 8 }, type: Sequelize.QueryTypes.SELECT }));
}

async function transactions() {
  await db.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async (transaction) => {
    await Note.create({ v: 'kept' }, { transaction });
    tell(await db.query('SHOW transaction_isolation', { transaction, type: Sequelize.QueryTypes.SELECT }));
    const inner = await db.transaction({ transaction });
    await Note.create({ v: 'lost' }, { transaction: inner });
    await inner.rollback();
    tell(await Note.findAll({ transaction, lock: transaction.LOCK.UPDATE }).then((notes) => notes.map((n) => n.v)));
  });
  meanwhile();
  await wrong(db.transaction(async (transaction) => {
    await Note.create({ v: 'gone' }, { transaction });
    throw new Error('mine');
  }));
  meanwhile();
  const both = await Promise.all([...Array(6).keys()].map((n) => db.transaction(async (transaction) => {
    await Note.create({ v: `n${n}` }, { transaction });
    return (await db.query('SELECT $1::int AS n', { bind: [n], transaction, type: Sequelize.QueryTypes.SELECT }))[0].n;
  })));
  tell(both, await Note.count());
}

async function main() {
  await db.authenticate();
  tell(await db.databaseVersion());
  await Person.sync({ force: true });
  await Pet.sync({ force: true });
  meanwhile();
  await rows();
  await mistakes();
  await transactions();
  await Person.sync({ alter: true });
  meanwhile();
  tell((await db.getQueryInterface().describeTable('people')).name.type, (await db.getQueryInterface().showAllTables()).length);
  await Pet.drop({});
  await Person.drop({});
  await db.close();
}

main();
