# What Rails' ActiveRecord does, one line of JSON per step. A line "?" asks whoever started this to let a stranger in,
# and goes on when a line comes back. Where to connect to is in the environment, as libpq reads it; the argument says
# whether statements are prepared.
require 'active_record'
require 'json'

$stdout.sync = true

def tell(*what)
  puts JSON.generate(what)
end

def meanwhile
  puts '?'
  $stdin.gets
end

def wrong
  tell('went well', yield)
rescue ActiveRecord::ActiveRecordError => error
  tell(error.class.name, error.message.gsub(/pid \d+/, 'pid'))
end

class Note < ActiveRecord::Base; end

class Item < ActiveRecord::Base
  def self.named(number)
    find_by(v: "item #{number}")
  end
end

ActiveRecord::Base.establish_connection(adapter: 'postgresql', database: ENV['PGDATABASE'], pool: 1,
                                        prepared_statements: ARGV[0] == 'prepared', variables: { lock_timeout: '5s' })
connection = ActiveRecord::Base.connection
tell(connection.tables.sort, Note.columns.map { |c| [c.name, c.sql_type, c.null] }, connection.select_value('SHOW lock_timeout'))
4.times do |turn|
  tell(Item.find(turn + 1).v, Item.named(turn + 5).id, Item.where(id: 1..(turn + 1)).count, Item.exists?(turn))
  meanwhile
end
tell(Note.create!(v: 'one').id, Note.create!(v: 'ü').reload.v)
meanwhile
wrong { Note.create!(v: nil) }
wrong { Item.find(5000) }
wrong { connection.execute('SELECT FROM FROM') }
meanwhile
wrong { Item.create!(id: 1, v: 'again') }
Note.transaction do
  Note.create!(v: 'kept')
  Note.transaction(requires_new: true) do
    Note.create!(v: 'rolled back')
    raise ActiveRecord::Rollback
  end
  begin
    Note.transaction(requires_new: true) { Note.create!(v: nil) }
  rescue ActiveRecord::NotNullViolation
    tell('goes on', Note.pluck(:v))
  end
end
meanwhile
Note.transaction(isolation: :serializable) { tell(connection.select_value('SHOW transaction_isolation')) }
tell(Note.insert_all([{ v: 'x' }, { v: 'y' }]).length, Note.order(:id).lock.first.v, Note.update_all("v = v || '!'"))
meanwhile
ids = []
Item.find_each(batch_size: 300) { |item| ids << item.id }
tell(ids.length, Item.connection.open_transactions)
# What it keeps of a plan is thrown away when the table has changed.
tell(Note.first.v)
connection.execute('CREATE TABLE things (id serial PRIMARY KEY, a int)')
begin
  class Thing < ActiveRecord::Base; end
  Thing.create!(a: 1)
  2.times { tell(Thing.find(1).a) }
  meanwhile
  connection.add_column(:things, :b, :string, default: 'new')
  Thing.reset_column_information
  2.times { tell(Thing.find(1).attributes) }
  meanwhile
  connection.change_column(:things, :a, :string)
  Thing.reset_column_information
  2.times { tell(Thing.find(1).attributes) }
ensure
  connection.drop_table(:things)
end
# As a migration locks; then the connection goes back to its pool, and is taken again.
tell(connection.get_advisory_lock(77), connection.release_advisory_lock(77))
meanwhile
ActiveRecord::Base.clear_active_connections!
tell(ActiveRecord::Base.connection.active?, ActiveRecord::Base.connection.select_value('SELECT 1'))
ActiveRecord::Base.connection.reset!
tell(Item.find(3).v, ActiveRecord::Base.connection.select_value('SHOW lock_timeout'))
meanwhile
ActiveRecord::Base.connection.reconnect!
tell(Item.find(4).v)
