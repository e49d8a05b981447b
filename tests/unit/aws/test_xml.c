/* The XML of replies, written and read. */
#include <stdio.h>

#include "aws/codec_priv.h"
#include "aws_test.h"

static char *format_ok(const AwsCall *call, const char *output_text)
{
    json_t *output = output_text != NULL ? json_of(output_text) : NULL;
    Buf out;
    Err err;
    buf_init(&out, BUF_MAX_DEFAULT);
    if (!aws_output_format(call, output, "id-1", &out, &err)) {
        fail_msg("%s", err.message);
    }
    char *text = mem_strdup(buf_str(&out));
    buf_done(&out);
    json_decref(output);
    return text;
}

static void test_query_reply(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DescribeDBInstances");
    CLEANUP(mem_free_ptr)
    char *text =
        format_ok(&call, "{\"DBInstances\": [{\"DBInstanceIdentifier\": \"a<b>&\\\"c\\\"\\r\\n\","
                         " \"MultiAZ\": false, \"AllocatedStorage\": 0,"
                         " \"InstanceCreateTime\": 1769860800123,"
                         " \"ReadReplicaDBInstanceIdentifiers\": [], \"ours\": {\"x\": 1},"
                         " \"VpcSecurityGroups\": [{\"VpcSecurityGroupId\": \"sg-1\"}]}]}");
    assert_string_equal(
        text, "<DescribeDBInstancesResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">"
              "<DescribeDBInstancesResult><DBInstances><DBInstance>"
              "<DBInstanceIdentifier>a&lt;b&gt;&amp;&quot;c&quot;&#13;\n</DBInstanceIdentifier>"
              "<AllocatedStorage>0</AllocatedStorage>"
              "<InstanceCreateTime>2026-01-31T12:00:00.123Z</InstanceCreateTime>"
              "<VpcSecurityGroups><VpcSecurityGroupMembership>"
              "<VpcSecurityGroupId>sg-1</VpcSecurityGroupId>"
              "</VpcSecurityGroupMembership></VpcSecurityGroups>"
              "<MultiAZ>false</MultiAZ>"
              "<ReadReplicaDBInstanceIdentifiers></ReadReplicaDBInstanceIdentifiers>"
              "</DBInstance></DBInstances></DescribeDBInstancesResult>"
              "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
              "</DescribeDBInstancesResponse>");
}

static void test_query_reply_without_output(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DeleteDBSubnetGroup");
    CLEANUP(mem_free_ptr) char *text = format_ok(&call, NULL);
    assert_string_equal(
        text, "<DeleteDBSubnetGroupResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">"
              "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
              "</DeleteDBSubnetGroupResponse>");
}

static void test_ec2_reply(void **state)
{
    (void)state;
    AwsCall call = call_of("ec2", "DescribeVpcs");
    CLEANUP(mem_free_ptr)
    char *text = format_ok(&call, "{\"Vpcs\": [{\"VpcId\": \"vpc-1\", \"IsDefault\": true}]}");
    assert_string_equal(text,
                        "<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\">"
                        "<requestId>id-1</requestId><vpcSet><item><vpcId>vpc-1</vpcId>"
                        "<isDefault>true</isDefault></item></vpcSet></DescribeVpcsResponse>");
    AwsCall nothing = call_of("ec2", "DeleteSecurityGroup");
    CLEANUP(mem_free_ptr) char *empty = format_ok(&nothing, NULL);
    assert_non_null(strstr(empty, "<return>true</return>"));
}

/* Terraform's provider takes the first node group of any list that is present. */
static void test_an_empty_list_that_is_left_out(void **state)
{
    (void)state;
    AwsCall call = call_of("elasticache", "DescribeReplicationGroups");
    CLEANUP(mem_free_ptr)
    char *text =
        format_ok(&call, "{\"ReplicationGroups\": [{\"NodeGroups\": [], \"MemberClusters\": []}]}");
    assert_null(strstr(text, "NodeGroups"));
    assert_non_null(strstr(text, "<MemberClusters></MemberClusters>"));
}

static void test_texts_that_xml_cannot_hold(void **state)
{
    (void)state;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    xml_append_text(&out, (Slice){"a\x01\0\xff\t\xc3\xa4", 7});
    assert_string_equal(buf_str(&out), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\t\xc3\xa4");
    buf_done(&out);
}

static void test_faults(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DescribeDBInstances");
    AwsFault fault;
    AwsFault back;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    aws_fault_set(&fault, call.service, "DBInstanceNotFoundFault", "DBInstance %s not found.", "a");
    aws_fault_format(&fault, call.service, AWS_QUERY, "id-1", &out);
    assert_string_equal(buf_str(&out),
                        "<ErrorResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><Error>"
                        "<Type>Sender</Type><Code>DBInstanceNotFound</Code>"
                        "<Message>DBInstance a not found.</Message></Error>"
                        "<RequestId>id-1</RequestId></ErrorResponse>");
    aws_fault_parse(&call, 404, buf_slice(&out), &back);
    assert_string_equal(back.code, "DBInstanceNotFound");
    assert_string_equal(back.message, "DBInstance a not found.");
    assert_true(back.sender);
    buf_clear(&out);
    aws_fault_set(&fault, NULL, "InternalFailure", "<&>");
    aws_fault_format(&fault, NULL, AWS_QUERY, "id-1", &out);
    assert_string_equal(buf_str(&out), "<ErrorResponse><Error><Type>Receiver</Type>"
                                       "<Code>InternalFailure</Code><Message>&lt;&amp;&gt;"
                                       "</Message></Error><RequestId>id-1</RequestId>"
                                       "</ErrorResponse>");
    buf_clear(&out);
    call = call_of("ec2", "DescribeVpcs");
    aws_fault_set(&fault, call.service, "InvalidVpcID.NotFound", "no");
    aws_fault_format(&fault, call.service, AWS_EC2, "id-1", &out);
    assert_string_equal(buf_str(&out), "<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>"
                                       "<Message>no</Message></Error></Errors>"
                                       "<RequestID>id-1</RequestID></Response>");
    aws_fault_parse(&call, 400, buf_slice(&out), &back);
    assert_string_equal(back.code, "InvalidVpcID.NotFound");
    buf_done(&out);
    aws_fault_parse(&call, 500, SLICE("<html></html>"), &back);
    assert_string_equal(back.code, "HTTP500");
}

static void test_round_trip(void **state)
{
    (void)state;
    AwsCall call = call_of("elasticache", "DescribeCacheClusters");
    const char *output_text =
        "{\"Marker\": \" \\u00e4<\\n\", \"CacheClusters\": [{\"CacheClusterId\": \"a\","
        " \"NumCacheNodes\": 1, \"AtRestEncryptionEnabled\": false, \"CacheSecurityGroups\": [],"
        " \"CacheClusterCreateTime\": 1769860800123,"
        " \"CacheNodes\": [{\"CacheNodeId\": \"0001\", \"Endpoint\": {\"Address\": \"x\","
        " \"Port\": 6379}}, {}]}]}";
    CLEANUP(mem_free_ptr) char *text = format_ok(&call, output_text);
    json_t *output;
    Err err;
    assert_true(aws_output_parse(&call, slice_of(text), &output, &err));
    assert_json(output, output_text);
    for (size_t len = 0; len < strlen(text); len++) {
        CLEANUP(mem_free_ptr) char *cut = mem_alloc(len);
        memcpy(cut, text, len);
        assert_false(aws_output_parse(&call, slice_from(cut, len), &output, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_replies_refused(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DescribeDBInstances");
    static const char *const replies[] = {
        "<OtherResponse/>",
        "<DescribeDBInstancesResponse/>",
        "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>"
        "<AllocatedStorage>x</AllocatedStorage></DBInstance></DBInstances>"
        "</DescribeDBInstancesResult></DescribeDBInstancesResponse>",
        "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>"
        "<DBName>\xff</DBName></DBInstance></DBInstances>"
        "</DescribeDBInstancesResult></DescribeDBInstancesResponse>",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        json_t *output = NULL;
        Err err;
        assert_false(aws_output_parse(&call, slice_of(replies[i]), &output, &err));
        assert_null(output);
    }
}

static void test_xml(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const XmlNode *root;
    Err err;
    assert_true(xml_parse(SLICE("\xef\xbb\xbf<?xml version=\"1.0\"?>\n<a x='1' y = \"<&>\">\n"
                                " <b>1 &lt; &#50;&#x1F600;&amp;</b >\n <b/>\n <c.d-e:f></c.d-e:f>"
                                "</a>\n "),
                          arena, &root, &err));
    assert_slice(root->name, "a");
    assert_slice(xml_child(root, "b")->text, "1 < 2\xf0\x9f\x98\x80&");
    assert_int_equal(xml_child(root, "b")->next->text.len, 0);
    assert_non_null(xml_child(root, "c.d-e:f"));
    assert_null(xml_child(root, "d"));
    assert_int_equal(root->text.len, 0);
}

static void test_xml_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "x",
        "<",
        "<a",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "<a>x<b/></a>",
        "<a><b/>x</a>",
        "<a>&x;</a>",
        "<a>&amp</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#99999999999;</a>",
        "<a b></a>",
        "<a b=c></a>",
        "<a b='c></a>",
        "<a><!-- x --></a>",
        "<!DOCTYPE a><a/>",
        "<a><![CDATA[x]]></a>",
        "<?xml version='1.0'",
        "<1/>",
        "<a / >",
        "<a><?php x ?></a>",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        const XmlNode *root = NULL;
        Err err;
        if (xml_parse(slice_of(texts[i]), arena, &root, &err)) {
            fail_msg("accepted %s", texts[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_xml_depth(void **state)
{
    (void)state;
    for (int depth = XML_DEPTH_MAX; depth <= XML_DEPTH_MAX + 1; depth++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Buf text;
        const XmlNode *root;
        buf_init(&text, BUF_MAX_DEFAULT);
        for (int i = 0; i < depth; i++) {
            buf_append_str(&text, "<a>");
        }
        for (int i = 0; i < depth; i++) {
            buf_append_str(&text, "</a>");
        }
        assert_int_equal(xml_parse(buf_slice(&text), arena, &root, NULL), depth <= XML_DEPTH_MAX);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_reply),
        cmocka_unit_test(test_query_reply_without_output),
        cmocka_unit_test(test_ec2_reply),
        cmocka_unit_test(test_an_empty_list_that_is_left_out),
        cmocka_unit_test(test_texts_that_xml_cannot_hold),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_replies_refused),
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_xml_refused),
        cmocka_unit_test(test_xml_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
