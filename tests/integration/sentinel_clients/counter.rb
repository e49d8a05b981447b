# Counts through a Sentinel with redis-rb, until its input ends: a line per acknowledged number, and per error.
# HOST, NAME, TOKEN and CA say where.
require 'redis'

$stdout.sync = true
host, name, token, ca = ENV.values_at('HOST', 'NAME', 'TOKEN', 'CA')
options = { url: "redis://#{name}", sentinels: [{ host: host, port: 26_379, password: token }], password: token,
            ssl: true, ssl_params: { ca_file: ca }, reconnect_attempts: 0, timeout: 20 }
primary = Redis.new(**options, role: :master)
reader = Redis.new(**options, role: :slave)
puts "roles #{primary.call('ROLE')[0]} #{reader.call('ROLE')[0]}"
until IO.select([$stdin], nil, nil, 0.002)
  begin
    puts "count #{primary.incr('counter')}"
  rescue Redis::BaseError => e
    puts "error #{e.message}"
    sleep 0.05
  end
end
puts "last #{primary.get('counter')}"
